//! The weights of one layer, wherever they are stored.

use std::fmt;
use std::sync::Arc;

use resnext_checkpoint::StoredTensor;

/// The weights of one layer. They are decoded from their file each time they are read, so that a network takes no memory.
#[derive(Clone)]
pub struct Weights {
    data: Data,
    /// One factor for each output, the first dimension; `None` means 1.
    factors: Option<Arc<[f64]>>,
}

#[derive(Clone)]
enum Data {
    Memory(Arc<[f32]>),
    File(StoredTensor),
    /// Integers, whose steps are the factors.
    Integers(StoredTensor),
}

impl Weights {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Memory(values) => values.len(),
            Data::File(tensor) | Data::Integers(tensor) => tensor.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decodes the elements, row-major.
    pub fn read(&self) -> Vec<f32> {
        let mut values = match &self.data {
            Data::Memory(values) => values.to_vec(),
            Data::File(tensor) | Data::Integers(tensor) => tensor.read(),
        };
        if let Some(factors) = self.factors.as_deref().filter(|factors| !factors.is_empty()) {
            let per_output = (values.len() / factors.len()).max(1);
            for (output, &factor) in values.chunks_mut(per_output).zip(factors) {
                output.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
            }
        }
        values
    }

    /// Makes weights that are `integers` times a step, one step for each output.
    pub fn quantized(integers: StoredTensor, steps: &[f64]) -> Self {
        Self { data: Data::Integers(integers), factors: Some(steps.into()) }
    }

    /// Returns the step of each output, the real value of the integer 1, if the weights are integers.
    pub fn steps(&self) -> Option<&[f64]> {
        self.factors.as_deref().filter(|_| matches!(self.data, Data::Integers(_)))
    }

    /// Multiplies the weights of output `o` by `factors[o]`, in f64. They are rounded once, when they are read.
    pub fn scale(&mut self, factors: &[f64]) {
        let before = self.factors.as_deref();
        let factor = |(o, factor): (usize, &f64)| factor * before.map_or(1.0, |before| before[o]);
        self.factors = Some(factors.iter().enumerate().map(factor).collect());
    }
}

/// Prints the elements, wherever they are stored.
impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

impl From<Vec<f32>> for Weights {
    fn from(values: Vec<f32>) -> Self {
        Self { data: Data::Memory(values.into()), factors: None }
    }
}

impl From<StoredTensor> for Weights {
    fn from(tensor: StoredTensor) -> Self {
        Self { data: Data::File(tensor), factors: None }
    }
}
