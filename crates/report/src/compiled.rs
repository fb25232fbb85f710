//! What the compiler measured of the layers, as the metadata of the model states it. It serves readers without the fp32 network.

use crate::Layer;
use resnext_metadata::Metadata;

/// Returns the layers in the model's `metadata`, and the number of images on which the compiler compared them.
pub(crate) fn layers(metadata: Metadata) -> (Vec<Layer>, usize) {
    let layer = |layer: resnext_metadata::Layer| Layer {
        name: layer.name,
        sqnr_db: layer.sqnr_db,
        alone_db: layer.alone_db,
        without_db: layer.without_db,
        method: layer.method,
        distribution: None,
    };
    let images = metadata.fidelity.map_or(0, |fidelity| fidelity.samples);
    (metadata.layers.into_iter().map(layer).collect(), images as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(metadata: &str) -> (Vec<Layer>, usize) {
        super::layers(Metadata::parse(metadata))
    }

    #[test]
    fn what_the_model_states_about_its_layers() {
        let metadata = r#"{"fidelity": {"samples": 64}, "layers": [
            {"name": "conv1", "sqnr_db": 40.5, "method": "mse", "alone_db": 50.0, "without_db": 38.0},
            {"name": "maxpool", "sqnr_db": null}, {"sqnr_db": 1.0}, 7]}"#;
        let (layers, images) = layers(metadata);
        assert_eq!((layers.len(), images), (2, 64));
        let conv1 = &layers[0];
        assert_eq!((conv1.sqnr_db, conv1.method.as_deref()), (Some(40.5), Some("mse")));
        assert_eq!((conv1.alone_db, conv1.without_db), (Some(50.0), Some(38.0)));
        assert_eq!((layers[1].name.as_str(), layers[1].sqnr_db), ("maxpool", None));
        for odd in ["", "nonsense", "{}", r#"{"layers": {"a": 1}}"#, r#"{"layers": "x", "fidelity": 3}"#] {
            assert!(self::layers(odd).0.is_empty(), "{odd}");
        }
    }
}
