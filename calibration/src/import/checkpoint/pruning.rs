//! Weights that PyTorch computes from other tensors each time it needs them.
//!
//! `torch.nn.utils.prune` keeps `weight_orig` and `weight_mask`, whose product is the weight. What weight norm, spectral norm and
//! other parametrizations keep is refused, because PyTorch can bake it in.

use std::borrow::Cow;

use resnext_checkpoint::TensorFile;

use crate::import::error::{ImportErrorKind, Location};

/// Returns `file` with the products of weights and their masks in place of both, and their number.
///
/// # Errors
///
/// If the mask of a weight is missing or has another shape, or if a weight is parametrized in another way.
pub(super) fn apply(file: &TensorFile) -> Result<(Cow<'_, TensorFile>, usize), ImportErrorKind> {
    let refuse = |name: &str, problem: &str, remedy: &str| {
        Err(ImportErrorKind::layer(Location::Tensor(name.to_owned()), problem, remedy))
    };
    if let Some(name) = file.names().find(|name| name.contains("parametrizations.")) {
        return refuse(
            name,
            "its weight is parametrized",
            "call torch.nn.utils.parametrize.remove_parametrizations and save the state dict again",
        );
    }
    let has = |name: &str| file.get(name).is_some();
    if let Some(name) = file
        .names()
        .find(|name| name.strip_suffix("weight_g").is_some_and(|module| has(&format!("{module}weight_v"))))
    {
        return refuse(
            name,
            "its weight is normalised (weight norm)",
            "call torch.nn.utils.remove_weight_norm and save the state dict again",
        );
    }
    let original = |name: &str| name.strip_suffix("_orig").map(str::to_owned);
    let count = file.names().filter_map(original).count();
    if count == 0 {
        return Ok((Cow::Borrowed(file), 0));
    }
    // Its choice of weights and its facts stay with `file`.
    let mut resolved = TensorFile::default();
    for name in file.names() {
        let Some(entry) = file.get(name) else { continue };
        if name.strip_suffix("_mask").is_some_and(|plain| has(&format!("{plain}_orig"))) {
            continue;
        }
        let Some(plain) = original(name) else {
            resolved.insert(name.to_owned(), entry.clone());
            continue;
        };
        let mask_name = format!("{plain}_mask");
        let Some(mask) = file.get(&mask_name) else {
            return refuse(
                name,
                "it has no mask beside it, as spectral norm leaves it",
                "remove the reparametrization in PyTorch and save the state dict again",
            );
        };
        match (&entry.data, &mask.data) {
            (Ok(tensor), Ok(mask)) => match tensor.clone().masked(mask.clone()) {
                Some(product) => resolved.insert(plain, product),
                None => return refuse(name, "its mask has another shape", "save the checkpoint again"),
            },
            (Err(unread), _) => return refuse(name, &unread.reason, unread.remedy),
            (_, Err(unread)) => return refuse(&mask_name, &unread.reason, unread.remedy),
        }
    }
    Ok((Cow::Owned(resolved), count))
}
