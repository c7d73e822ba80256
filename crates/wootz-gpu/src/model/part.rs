//! The part of a checkpoint's tensor that goes to a device.

use std::borrow::Cow;
use std::ops::Range;

use wootz_backend::Binding;
use wootz_backend::ops::Weight;
use wootz_weights::{Tensor, TensorType};

/// A tensor, or the rows or columns of it that a rank has.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The tensor; of some rows, those.
    tensor: &'a Tensor,
    /// Whole blocks of each row, where not all columns are meant.
    columns: Option<Range<usize>>,
}

impl<'a> Part<'a> {
    /// What a program's rank has of a weight.
    pub fn of(binding: &'a Binding, weight: Weight) -> Part<'a> {
        Part { tensor: binding.tensor(weight), columns: binding.columns(weight) }
    }

    /// The tensor's name, for messages.
    pub fn name(&self) -> &str {
        &self.tensor.name
    }

    /// How its elements are stored.
    pub fn kind(&self) -> TensorType {
        self.tensor.kind
    }

    /// Its dimensions, slowest first.
    pub fn shape(&self) -> Vec<usize> {
        let mut shape = self.tensor.shape.clone();
        if let (Some(last), Some(columns)) = (shape.last_mut(), &self.columns) {
            *last = columns.len();
        }
        shape
    }

    /// Rows of it.
    pub fn rows(&self) -> usize {
        self.tensor.rows()
    }

    /// Elements of a row.
    pub fn columns(&self) -> usize {
        self.columns.as_ref().map_or_else(|| self.tensor.columns(), Range::len)
    }

    /// Elements of it.
    pub fn elements(&self) -> usize {
        self.rows() * self.columns()
    }

    /// Bytes of it.
    pub fn length(&self) -> usize {
        self.rows() * self.row_range().len()
    }

    /// The tensor, where all bytes of the part follow each other in the file.
    pub fn in_file(&self) -> Option<&'a Tensor> {
        self.columns.is_none().then_some(self.tensor)
    }

    /// Its bytes, gathered from the rows where they don't follow each other.
    pub fn data(&self) -> Cow<'a, [u8]> {
        let data = self.tensor.data();
        if self.columns.is_none() {
            return Cow::Borrowed(data);
        }
        let range = self.row_range();
        let rows = data.chunks_exact(self.tensor.row_bytes());
        let mut gathered = Vec::with_capacity(self.length());
        rows.for_each(|row| gathered.extend_from_slice(&row[range.clone()]));
        Cow::Owned(gathered)
    }

    /// Its bytes of each row.
    fn row_range(&self) -> Range<usize> {
        let kind = self.tensor.kind;
        let bytes = |columns| kind.row_bytes(columns).expect("a part begins and ends with a block");
        self.columns
            .as_ref()
            .map_or(0..bytes(self.tensor.columns()), |range| bytes(range.start)..bytes(range.end))
    }
}
