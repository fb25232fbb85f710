//! The stack machine that reads a pickle. CPython's `Lib/pickletools.py` describes the instructions of protocols 0 to 5.

use std::collections::HashMap;

use super::error::{MAX_INSTRUCTIONS, PickleError};
use super::graph::{Call, Object, ObjectId, Pickle, Span, Value};

/// Reads the pickle that starts at byte `start` of `file`. Returns it and the offset of the byte after it.
///
/// # Errors
///
/// Returns an error if the bytes are no pickle, or use an instruction that no checkpoint needs.
pub fn load(file: &[u8], start: usize) -> Result<(Pickle<'_>, usize), PickleError> {
    let mut machine = Machine {
        file,
        at: start,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Vec::new(),
    };
    for _ in 0..MAX_INSTRUCTIONS {
        if let Some(root) = machine.step()? {
            let Machine { at, objects, .. } = machine;
            return Ok((Pickle { file, objects, root }, at));
        }
    }
    Err(PickleError::Long)
}

struct Machine<'a> {
    file: &'a [u8],
    /// Offset of the next byte.
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack at the marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    objects: Vec<Object>,
}

impl Machine<'_> {
    /// Executes one instruction. Returns the pickled value if it was the last one.
    fn step(&mut self) -> Result<Option<Value>, PickleError> {
        let at = self.at;
        let wrong = PickleError::Operands(at);
        let [code] = self.fixed()?;
        match code {
            // The frame of the program.
            b'\x80' => drop(self.fixed::<1>()?), // PROTO
            b'\x95' => drop(self.fixed::<8>()?), // FRAME
            b'.' => return self.pop().map(Some), // STOP

            // Numbers and constants.
            b'N' => self.stack.push(Value::None),
            b'\x88' => self.stack.push(Value::Bool(true)),
            b'\x89' => self.stack.push(Value::Bool(false)),
            b'K' => self.unsigned::<1>().map(|n| self.stack.push(Value::Int(n as i64)))?, // BININT1
            b'M' => self.unsigned::<2>().map(|n| self.stack.push(Value::Int(n as i64)))?, // BININT2
            b'J' => {
                // BININT
                let n = i32::from_le_bytes(self.fixed()?);
                self.stack.push(Value::Int(n.into()));
            }
            b'\x8a' => self.long::<1>()?, // LONG1
            b'\x8b' => self.long::<4>()?, // LONG4
            b'G' => {
                // BINFLOAT, the one big-endian number
                let n = f64::from_be_bytes(self.fixed()?);
                self.stack.push(Value::Float(n));
            }
            b'I' => {
                // INT, also how protocol 0 writes booleans
                let value = match self.line()? {
                    "00" => Value::Bool(false),
                    "01" => Value::Bool(true),
                    digits => digits.parse().map_or(Value::Unread, Value::Int),
                };
                self.stack.push(value);
            }
            b'L' => {
                // LONG
                let digits = self.line()?;
                let value = digits.trim_end_matches('L').parse().map_or(Value::Unread, Value::Int);
                self.stack.push(value);
            }
            b'F' => {
                // FLOAT
                let value = self.line()?.parse().map_or(Value::Unread, Value::Float);
                self.stack.push(value);
            }

            // Text and bytes.
            b'X' => self.text::<4>()?,             // BINUNICODE
            b'\x8c' => self.text::<1>()?,          // SHORT_BINUNICODE
            b'\x8d' => self.text::<8>()?,          // BINUNICODE8
            b'B' | b'T' => self.raw::<4>()?,       // BINBYTES, BINSTRING
            b'C' | b'U' => self.raw::<1>()?,       // SHORT_BINBYTES, SHORT_BINSTRING
            b'\x8e' | b'\x96' => self.raw::<8>()?, // BINBYTES8, BYTEARRAY8
            b'V' => {
                // UNICODE
                let line = self.line_span()?;
                self.push_plain(line, Value::Text);
            }
            b'S' => {
                // STRING, in quotes
                let Span { start, len } = self.line_span()?;
                let inner = Span { start: start + 1, len: len.checked_sub(2).ok_or(wrong)? };
                self.push_plain(inner, Value::Bytes);
            }

            // The stack itself.
            b'(' => self.marks.push(self.stack.len()),
            b'1' => drop(self.pop_mark()?), // POP_MARK
            b'0' => {
                // POP takes a mark if there is one on top.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'2' => self.top().map(|top| self.stack.push(top))?, // DUP

            // The memo.
            b'q' => self.unsigned::<1>().and_then(|key| self.remember(key))?, // BINPUT
            b'r' => self.unsigned::<4>().and_then(|key| self.remember(key))?, // LONG_BINPUT
            b'p' => self.key().and_then(|key| self.remember(key))?,           // PUT
            b'\x94' => self.remember(self.memo.len() as u64)?,                // MEMOIZE
            b'h' => self.unsigned::<1>().and_then(|key| self.recall(key))?,   // BINGET
            b'j' => self.unsigned::<4>().and_then(|key| self.recall(key))?,   // LONG_BINGET
            b'g' => self.key().and_then(|key| self.recall(key))?,             // GET

            // Containers.
            b']' | b'\x8f' => self.create(Object::List(Vec::new())), // EMPTY_LIST, EMPTY_SET
            b'}' => self.create(Object::Dict(Vec::new())),           // EMPTY_DICT
            b')' => self.create(Object::Tuple(Vec::new())),          // EMPTY_TUPLE
            b'\x85'..=b'\x87' => {
                // TUPLE1, TUPLE2, TUPLE3
                let mut values = vec![Value::None; usize::from(code - 0x84)];
                for value in values.iter_mut().rev() {
                    *value = self.pop()?;
                }
                self.create(Object::Tuple(values));
            }
            b't' => {
                // TUPLE
                let values = self.pop_mark()?;
                self.create(Object::Tuple(values));
            }
            b'l' | b'\x91' => {
                // LIST, FROZENSET
                let values = self.pop_mark()?;
                self.create(Object::List(values));
            }
            b'd' => {
                // DICT
                let pairs = pairs(&self.pop_mark()?).ok_or(wrong)?;
                self.create(Object::Dict(pairs));
            }
            b'a' => {
                // APPEND
                let value = self.pop()?;
                self.append(&[value])?;
            }
            b'e' | b'\x90' => {
                // APPENDS, ADDITEMS
                let values = self.pop_mark()?;
                self.append(&values)?;
            }
            b's' => {
                // SETITEM
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(&[(key, value)])?;
            }
            b'u' => {
                // SETITEMS
                let pairs = pairs(&self.pop_mark()?).ok_or(wrong)?;
                self.insert(&pairs)?;
            }

            // Classes, functions, and what would be done with them.
            b'c' => {
                // GLOBAL
                let global = Object::Global { module: self.line_span()?, name: self.line_span()? };
                self.create(global);
            }
            b'\x93' => {
                // STACK_GLOBAL
                let (Value::Text(name), Value::Text(module)) = (self.pop()?, self.pop()?) else {
                    return Err(wrong);
                };
                self.create(Object::Global { module, name });
            }
            b'R' | b'\x81' => {
                // REDUCE, NEWOBJ
                let arguments = self.pop()?;
                let function = self.pop()?;
                self.call(function, arguments);
            }
            b'\x92' => {
                // NEWOBJ_EX; no tensor has keyword arguments
                let _keywords = self.pop()?;
                let arguments = self.pop()?;
                let function = self.pop()?;
                self.call(function, arguments);
            }
            b'i' => {
                // INST
                let global = Object::Global { module: self.line_span()?, name: self.line_span()? };
                let arguments = self.pop_mark()?;
                let function = self.allocate(global);
                let arguments = self.allocate(Object::Tuple(arguments));
                self.call(function, arguments);
            }
            b'o' => {
                // OBJ
                let values = self.pop_mark()?;
                let (&function, arguments) = values.split_first().ok_or(wrong)?;
                let arguments = self.allocate(Object::Tuple(arguments.to_vec()));
                self.call(function, arguments);
            }
            b'b' => {
                // BUILD
                let state = self.pop()?;
                match self.target()? {
                    Object::Call(call) => call.state = Some(state),
                    _ => return Err(wrong),
                }
            }
            b'P' => {
                // PERSID
                let id = self.line_span()?;
                self.create(Object::Persistent(Value::Text(id)));
            }
            b'Q' => {
                // BINPERSID
                let id = self.pop()?;
                self.create(Object::Persistent(id));
            }
            _ => return Err(PickleError::Instruction { at, code }),
        }
        Ok(None)
    }

    /// Takes the next `N` bytes.
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let bytes = rest.first_chunk().ok_or(PickleError::Truncated(self.at))?;
        self.at += N;
        Ok(*bytes)
    }

    /// Takes the next `N` bytes as an integer.
    fn unsigned<const N: usize>(&mut self) -> Result<u64, PickleError> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.fixed::<N>()?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Takes a length of `N` bytes and skips as many bytes as it says, without touching their pages.
    fn span<const N: usize>(&mut self) -> Result<Span, PickleError> {
        let truncated = PickleError::Truncated(self.at);
        let len = usize::try_from(self.unsigned::<N>()?).map_err(|_| truncated)?;
        let start = self.at;
        let end = start.checked_add(len).filter(|&end| end <= self.file.len());
        self.at = end.ok_or(truncated)?;
        Ok(Span { start, len })
    }

    fn text<const N: usize>(&mut self) -> Result<(), PickleError> {
        let span = self.span::<N>()?;
        self.stack.push(Value::Text(span));
        Ok(())
    }

    fn raw<const N: usize>(&mut self) -> Result<(), PickleError> {
        let span = self.span::<N>()?;
        self.stack.push(Value::Bytes(span));
        Ok(())
    }

    /// Pushes an integer whose number of bytes precedes it.
    fn long<const N: usize>(&mut self) -> Result<(), PickleError> {
        let span = self.span::<N>()?;
        let bytes = &self.file[span.start..span.start + span.len];
        let value = if bytes.len() > 8 {
            Value::Long(span)
        } else {
            let negative = bytes.last().is_some_and(|&b| b & 0x80 != 0);
            let mut extended = [if negative { 0xff } else { 0 }; 8];
            extended[..bytes.len()].copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(extended))
        };
        self.stack.push(value);
        Ok(())
    }

    /// Takes the bytes up to the next line break, and the line break.
    fn line_span(&mut self) -> Result<Span, PickleError> {
        let start = self.at;
        let rest = self.file.get(start..).unwrap_or_default();
        let len = rest.iter().position(|&b| b == b'\n').ok_or(PickleError::Truncated(start))?;
        self.at += len + 1;
        Ok(Span { start, len })
    }

    /// Takes a line that should be a number. Returns an empty line if it is not UTF-8, which no number is.
    fn line(&mut self) -> Result<&str, PickleError> {
        let Span { start, len } = self.line_span()?;
        Ok(std::str::from_utf8(&self.file[start..start + len]).unwrap_or_default())
    }

    fn key(&mut self) -> Result<u64, PickleError> {
        let at = self.at;
        self.line()?.parse().map_err(|_| PickleError::Operands(at))
    }

    /// Pushes a line of a text protocol, or [`Value::Unread`] if it would have to be decoded.
    fn push_plain(&mut self, span: Span, value: fn(Span) -> Value) {
        let bytes = &self.file[span.start..span.start + span.len];
        let plain = bytes.iter().all(|&b| b.is_ascii() && b != b'\\');
        self.stack.push(if plain { value(span) } else { Value::Unread });
    }

    fn top(&self) -> Result<Value, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack[floor..].last().copied().ok_or(PickleError::Operands(self.at))
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Removes the last mark and everything above it, and returns the latter.
    fn pop_mark(&mut self) -> Result<Vec<Value>, PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Operands(self.at))?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, key: u64) -> Result<(), PickleError> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), PickleError> {
        let value = self.memo.get(&key).ok_or(PickleError::Operands(self.at))?;
        self.stack.push(*value);
        Ok(())
    }

    /// Adds an object to the graph. An instruction adds two at most, so their number fits 32 bits.
    fn allocate(&mut self, object: Object) -> Value {
        let id = ObjectId(self.objects.len() as u32);
        self.objects.push(object);
        Value::Object(id)
    }

    fn create(&mut self, object: Object) {
        let value = self.allocate(object);
        self.stack.push(value);
    }

    fn call(&mut self, function: Value, arguments: Value) {
        let call = Call { function, arguments, state: None, pairs: Vec::new() };
        self.create(Object::Call(Box::new(call)));
    }

    /// Returns the object on top of the stack.
    fn target(&mut self) -> Result<&mut Object, PickleError> {
        let wrong = PickleError::Operands(self.at);
        match self.top()? {
            Value::Object(ObjectId(index)) => self.objects.get_mut(index as usize).ok_or(wrong),
            _ => Err(wrong),
        }
    }

    fn append(&mut self, values: &[Value]) -> Result<(), PickleError> {
        let wrong = PickleError::Operands(self.at);
        match self.target()? {
            Object::List(list) => list.extend(values),
            // The values are dropped: an object that its class fills like a list is no tensor.
            Object::Call(_) => {}
            _ => return Err(wrong),
        }
        Ok(())
    }

    fn insert(&mut self, pairs: &[(Value, Value)]) -> Result<(), PickleError> {
        let wrong = PickleError::Operands(self.at);
        match self.target()? {
            Object::Dict(dict) => dict.extend(pairs),
            Object::Call(call) => call.pairs.extend(pairs),
            _ => return Err(wrong),
        }
        Ok(())
    }
}

/// Returns the pairs of keys and values that alternate in `values`. Returns `None` if a value is missing.
fn pairs(values: &[Value]) -> Option<Vec<(Value, Value)>> {
    let (pairs, rest) = values.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|&[key, value]| (key, value)).collect())
}
