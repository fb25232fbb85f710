//! Tensors that a training program saves with a network and that play no part in inference.

/// Parts of names, between dots, of modules and buffers that belong to training: losses, metrics, counters of operations.
const MODULES: [&str; 30] = [
    "criterion",
    "criterions",
    "loss",
    "losses",
    "loss_fn",
    "loss_func",
    "loss_function",
    "metric",
    "metrics",
    "accuracy",
    "acc",
    "auroc",
    "f1",
    "f1_score",
    "precision",
    "recall",
    "confmat",
    "confusion_matrix",
    "pos_weight",
    "class_weight",
    "class_weights",
    "n_averaged",
    "ce",
    "bce",
    "crit",
    "cross_entropy",
    "focal",
    "xent",
    "queue",
    "queue_ptr",
];

/// Whether the tensor `name`, which no layer of the network has, belongs to training.
///
/// Only names outside the layers count, apart from the counters that `thop` leaves in every module: another tensor of a layer would
/// change what the layer does.
pub(super) fn belongs(name: &str) -> bool {
    let mut parts = name.split('.');
    let last = name.rsplit('.').next().unwrap_or(name);
    if matches!(last, "num_batches_tracked" | "total_ops" | "total_params") {
        return true;
    }
    let module = |part: &str| {
        let part = part.to_ascii_lowercase();
        MODULES.contains(&part.as_str())
            || ["_loss", "_loss_fn", "_criterion", "_metric", "_metrics", "_acc", "_accuracy"]
                .iter()
                .any(|end| part.ends_with(end))
            || ["train_", "val_", "valid_", "test_"].iter().any(|start| part.starts_with(start))
            || ["loss_", "criterion_", "metric_"].iter().any(|start| part.starts_with(start))
    };
    !in_layer(name) && parts.any(module)
}

/// Whether `name` is a tensor of a loss that only multi-label training has.
pub(super) fn is_multi_label(name: &str) -> bool {
    name.rsplit('.').next() == Some("pos_weight")
}

/// Whether `name` is a tensor of a stage of the network.
fn in_layer(name: &str) -> bool {
    name.split('.').any(|part| part.strip_prefix("layer").is_some_and(|n| n.parse::<usize>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_training_is_left_out() {
        for name in [
            "criterion.weight",
            "model.criterion.pos_weight",
            "loss_fn.weight",
            "bce_loss.pos_weight",
            "train_acc.tp",
            "val_metrics.MulticlassAccuracy.tp",
            "test_f1.fp",
            "class_weights",
            "layer1.0.conv1.total_ops",
            "total_params",
        ] {
            assert!(belongs(name), "{name}");
        }
        for name in ["layer1.0.loss.weight", "neck.weight", "mean", "projector.0.weight", "attention.weight"]
        {
            assert!(!belongs(name), "{name}");
        }
        assert!(is_multi_label("criterion.pos_weight") && !is_multi_label("criterion.weight"));
    }
}
