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
                values.iter().for_each(|&value| drop(pickle.name(value)));
            }
            Object::Dict(pairs) => pairs.iter().for_each(|&(key, value)| {
                let _ = (pickle.name(key), pickle.object(value).is_some());
            }),
            Object::Global { module, name } => {
                assert!(pickle.bytes(*module).len() == module.len && pickle.bytes(*name).len() == name.len);
            }
            Object::Call(call) => {
                let _ = (pickle.global(call.function), pickle.tuple(call.arguments), call.state);
            }
            Object::Persistent(id) => drop(pickle.tuple(*id)),
        }
    }
});
