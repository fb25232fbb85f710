//! Any bytes as a pickle: a graph no larger than they are, or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resnext_checkpoint::pickle::{Object, load};

fuzz_target!(|data: &[u8]| {
    let Ok((pickle, end)) = load(data, 0) else { return };
    assert!(end <= data.len());
    // INST makes three objects of four bytes.
    assert!(pickle.objects().count() <= data.len());
    let _ = pickle.pairs(pickle.root);
    for object in pickle.objects() {
        match object {
            Object::List(values) | Object::Tuple(values) => {
                assert!(
                    values
                        .iter()
                        .filter_map(|&value| pickle.name(value))
                        .all(|name| name.len() <= data.len())
                );
            }
            Object::Dict(pairs) => {
                assert!(
                    pairs
                        .iter()
                        .filter_map(|&(key, _)| pickle.name(key))
                        .all(|name| name.len() <= data.len())
                );
            }
            Object::Global { module, name } => {
                assert_eq!((pickle.bytes(*module).len(), pickle.bytes(*name).len()), (module.len, name.len));
            }
            Object::Call(call) => {
                let _ = (pickle.global(call.function), pickle.tuple(call.arguments));
            }
            Object::Persistent(id) => {
                let _ = pickle.tuple(*id);
            }
            // A kind that this target does not know yet.
            _ => {}
        }
    }
});
