//! A checkpoint's tensors on a device: matrices stay in the mapped file, vectors become f32 in one arena. A device whose
//! kernels hold factors in registers gets the matrices that are multiplied with packed, and no file.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use wootz_backend::ops::{Op, Program, Weight};
use wootz_backend::{BackendError, Binding};
use wootz_weights::{MappedFile, TensorType};

use super::device_error;
use super::gating;
use super::joints::{Joined, joined};
use super::part::Part;
use super::uses::Uses;
use crate::device::{BufferId, Command, Device, Family, Profile, Slice};
use crate::kernels::copy::{Convert, Number};
use crate::kernels::gemm_packed::Pack;
use crate::kernels::matrix::{MatrixFormat, Packing, StoredMatrix};
use crate::lower::{Joint, Rotation, Weights};

/// Bytes that every tensor in an arena begins at a multiple of.
const ALIGNMENT: usize = 256;
/// What to do when there is no room for weights.
const REMEDY: &str = "take a smaller model or a smaller quantisation of this one";

/// How a matrix comes to the device.
enum Way {
    /// It is read where it lies in its file.
    InFile,
    /// It is copied, because its file does not align it.
    Copied,
    /// It becomes f16, for devices that compute with bf16 by several instructions.
    Half,
    /// It is packed, for devices whose kernels hold factors in registers.
    Packed(Packing),
}

/// What a matrix is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Its rows are looked up.
    Table,
    /// It is multiplied with.
    Factor,
}

/// Bytes that weights take beside the mapped files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WeightBytes {
    /// Matrices that are read in their files.
    pub mapped: u64,
    /// Vectors, and matrices that had to be copied.
    pub own: u64,
}

/// Puts all weights on the device.
pub fn load(
    device: &mut dyn Device,
    program: &Program,
    binding: &Binding,
) -> Result<(Weights, WeightBytes), BackendError> {
    let uses = Uses::of(program);
    let (files, own) = (BTreeMap::new(), Arena::default());
    let mut loader =
        Loader { device, files, own, writes: Vec::new(), reserved: HashMap::new(), staging: None };
    let mut weights = empty(program.weights.len());
    let joints = loader
        .reserve(joined(program, binding, |weight| loader.packing(&Part::of(binding, weight))), binding);
    let mut bytes = WeightBytes::default();
    let mut placed = Vec::new();
    for weight in uses.matrices() {
        let part = Part::of(binding, weight);
        for (place, what) in
            loader.places(weight, &part, (uses.tables.contains(&weight), uses.factors.contains(&weight)))
        {
            if matches!(place, Place::File(_)) {
                bytes.mapped += part.length() as u64;
            }
            placed.push((weight, place, what));
        }
    }
    let vectors: Vec<(Weight, usize)> =
        uses.vectors.iter().map(|&weight| (weight, loader.place_vector(weight, binding))).collect();
    let mut rotations = Vec::new();
    for op in &program.ops {
        let Op::Rope { rope, factors, .. } = op else { continue };
        let known = |(known, of, ..): &(_, _, _, _)| known == rope && of == factors;
        if !rotations.iter().any(known) {
            let divisors = factors.map_or_else(Vec::new, |factors| binding.tensor(factors).to_f32());
            let rotation = rope.rotation(&divisors);
            rotations.push((rope.clone(), *factors, loader.vector(rotation.frequencies), rotation.magnitude));
        }
    }
    let members: Vec<_> = joints.iter().map(PlacedJoint::members).collect();
    let gates = gating::gates(program, &members);
    let gates: Vec<_> = gates.into_iter().map(|gate| (gate, loader.vector(gating::unknown()))).collect();
    bytes.own = loader.own.bytes as u64;
    let own = loader.write()?;
    loader.put(placed, binding, own, &mut weights)?;
    for (weight, offset) in vectors {
        weights.vectors[weight.0] = Some(own.part(offset, 4 * binding.tensor(weight).elements()));
    }
    for (number, placed) in joints.into_iter().enumerate() {
        let joint = placed.joint(binding, own);
        for member in &joint.members {
            weights.joint_of[member.0] = Some(number);
        }
        weights.joints.push(joint);
    }
    let known = |(gate, offset)| (gate, own.part(offset, 4 * gating::unknown().len()));
    let gates: Vec<_> = gates.into_iter().map(known).collect();
    gating::learn(loader.device, &mut weights, &gates)
        .map_err(|error| device_error(&error, "the lengths of matrices' rows could not be computed"))?;
    weights.rotations = rotations
        .into_iter()
        .map(|(rope, factors, offset, magnitude)| {
            let frequencies = own.part(offset, 4 * (rope.dims / 2));
            Rotation { rope, factors, frequencies, magnitude }
        })
        .collect();
    Ok((weights, bytes))
}

/// Of so many weights none is loaded yet.
fn empty(count: usize) -> Weights {
    Weights {
        tables: vec![None; count],
        matrices: vec![None; count],
        vectors: vec![None; count],
        joints: Vec::new(),
        joint_of: vec![None; count],
        rotations: Vec::new(),
    }
}

/// Matrices that lie one after another, before anything is allocated.
struct PlacedJoint {
    joined: Joined,
    matrix: usize,
    /// Where the biases begin, and their bytes.
    bias: Option<(usize, usize)>,
}

impl PlacedJoint {
    fn members(&self) -> Vec<Weight> {
        self.joined.projections.iter().map(|one| one.matrix).collect()
    }

    fn joint(&self, binding: &Binding, own: Slice) -> Joint {
        let data = own.part(self.matrix, self.joined.bytes(binding));
        self.joined.joint(binding, data, self.bias.map(|(offset, bytes)| own.part(offset, bytes)))
    }
}

/// Bytes that are given out one after another.
#[derive(Debug, Default)]
struct Arena {
    bytes: usize,
}

impl Arena {
    fn take(&mut self, bytes: usize) -> usize {
        let offset = self.bytes.next_multiple_of(ALIGNMENT);
        self.bytes = offset + bytes;
        offset
    }
}

/// Where a matrix goes, before anything is allocated.
enum Place {
    File(Arc<MappedFile>),
    Copied(usize),
    Half(usize, Arc<MappedFile>),
    Packed(usize, Packing),
}

struct Loader<'a> {
    device: &'a mut dyn Device,
    files: BTreeMap<PathBuf, BufferId>,
    own: Arena,
    writes: Vec<(usize, Vec<f32>)>,
    /// Room for what lies beside others: packed matrices, and their biases.
    reserved: HashMap<Weight, usize>,
    /// Where a matrix lies while it is packed.
    staging: Option<Slice>,
}

impl Loader<'_> {
    /// Where a matrix goes, and what for: to one place for both uses, unless it is packed as a factor.
    fn places(
        &mut self,
        weight: Weight,
        part: &Part<'_>,
        (is_table, is_factor): (bool, bool),
    ) -> Vec<(Place, &'static [Use])> {
        if !is_factor {
            return vec![(self.place(weight, part, Use::Table), &[Use::Table])];
        }
        match (self.place(weight, part, Use::Factor), is_table) {
            (place, false) => vec![(place, &[Use::Factor])],
            (place @ Place::Packed(..), true) => {
                vec![(place, &[Use::Factor]), (self.place(weight, part, Use::Table), &[Use::Table])]
            }
            (place, true) => vec![(place, &[Use::Table, Use::Factor])],
        }
    }

    /// Puts matrices where they go.
    fn put(
        &mut self,
        placed: Vec<(Weight, Place, &'static [Use])>,
        binding: &Binding,
        own: Slice,
        weights: &mut Weights,
    ) -> Result<(), BackendError> {
        let packed = placed.iter().filter(|(_, place, _)| matches!(place, Place::Packed(..)));
        let staged = packed.map(|(weight, ..)| Part::of(binding, *weight).length()).max();
        if let Some(length) = staged {
            let buffer = self.device.allocate(length, "a matrix that is being packed");
            let buffer = buffer.map_err(|error| device_error(&error, REMEDY))?;
            self.staging = Some(Slice { buffer, offset: 0, length });
        }
        for (weight, place, uses) in placed {
            let matrix = self.matrix(&Part::of(binding, weight), place, own)?;
            for what in uses {
                match what {
                    Use::Table => weights.tables[weight.0] = Some(matrix),
                    Use::Factor => weights.matrices[weight.0] = Some(matrix),
                }
            }
        }
        if let Some(staging) = self.staging.take() {
            self.device.release(staging.buffer);
        }
        Ok(())
    }

    fn place(&mut self, weight: Weight, part: &Part<'_>, what: Use) -> Place {
        match (self.way(part, what), part.in_file()) {
            (Way::InFile, Some(tensor)) => Place::File(tensor.file.clone()),
            (Way::Half, Some(tensor)) => Place::Half(self.own.take(2 * part.elements()), tensor.file.clone()),
            (Way::Packed(packing), _) => {
                let bytes = Pack::bytes(packing, part.rows(), part.columns());
                let reserved = self.reserved.get(&weight).copied();
                Place::Packed(reserved.unwrap_or_else(|| self.own.take(bytes)), packing)
            }
            (Way::InFile | Way::Half | Way::Copied, _) => Place::Copied(self.own.take(part.length())),
        }
    }

    /// How a matrix that is multiplied with is packed, if it is.
    fn packing(&self, part: &Part<'_>) -> Option<Packing> {
        match self.way(part, Use::Factor) {
            Way::Packed(packing) => Some(packing),
            _ => None,
        }
    }

    /// Room for matrices that lie one after another, and for their biases, which are written later.
    fn reserve(&mut self, joined: Vec<Joined>, binding: &Binding) -> Vec<PlacedJoint> {
        let place = |joined: Joined| {
            let matrix = self.own.take(joined.bytes(binding));
            self.reserved.extend(joined.matrices(binding).map(|(weight, before)| (weight, matrix + before)));
            let values = joined.biases(binding).flat_map(|(bias, _)| binding.tensor(bias).to_f32());
            let values: Vec<f32> = values.collect();
            let bias = (!values.is_empty()).then(|| (4 * values.len(), self.vector(values)));
            let bias = bias.map(|(bytes, offset)| (offset, bytes));
            if let Some((offset, _)) = bias {
                self.reserved.extend(joined.biases(binding).map(|(bias, before)| (bias, offset + before)));
            }
            PlacedJoint { joined, matrix, bias }
        };
        joined.into_iter().map(place).collect()
    }

    /// Room for a vector, if it has none yet.
    fn place_vector(&mut self, weight: Weight, binding: &Binding) -> usize {
        match self.reserved.get(&weight) {
            Some(&offset) => offset,
            None => self.vector(binding.tensor(weight).to_f32()),
        }
    }

    fn way(&self, part: &Part<'_>, what: Use) -> Way {
        let facts = self.device.facts();
        let (format, kind) = (MatrixFormat::Ggml(part.kind()), part.kind());
        if facts.register_factors {
            let packing = Pack::packing(format, part.columns());
            return packing.filter(|_| what == Use::Factor).map_or(Way::Copied, Way::Packed);
        }
        let alignment = format.alignment().max(facts.offset_alignment);
        let aligned = part.in_file().is_some_and(|tensor| tensor.bytes.start.is_multiple_of(alignment));
        let emulates_bf16 = matches!(facts.family, Family::Apple(7 | 8));
        match kind {
            TensorType::BF16 if emulates_bf16 && aligned => Way::Half,
            _ if aligned => Way::InFile,
            _ => Way::Copied,
        }
    }

    /// Room for a vector, which is written later.
    fn vector(&mut self, values: Vec<f32>) -> usize {
        let offset = self.own.take(4 * values.len());
        self.writes.push((offset, values));
        offset
    }

    /// Allocates the arena and writes the vectors to it.
    fn write(&mut self) -> Result<Slice, BackendError> {
        let length = self.own.bytes.max(1);
        let buffer = self.device.allocate(length, "the weights that are not read in the file");
        let own = Slice { buffer: buffer.map_err(|error| device_error(&error, REMEDY))?, offset: 0, length };
        for (offset, values) in &self.writes {
            let bytes: &[u8] = bytemuck::cast_slice(values);
            let to = own.part(*offset, bytes.len());
            self.device.write(to, bytes).map_err(|error| device_error(&error, REMEDY))?;
        }
        Ok(own)
    }

    fn matrix(&mut self, part: &Part<'_>, place: Place, own: Slice) -> Result<StoredMatrix, BackendError> {
        let (rows, columns) = (part.rows(), part.columns());
        let (kind, data) = match place {
            Place::File(file) => (part.kind(), self.in_file(&file, part)?),
            Place::Copied(offset) => {
                let to = own.part(offset, part.length());
                self.device.write(to, &part.data()).map_err(|error| device_error(&error, REMEDY))?;
                (part.kind(), to)
            }
            Place::Half(offset, file) => {
                let (input, out) = (self.in_file(&file, part)?, own.part(offset, 2 * part.elements()));
                self.convert_to_half(part.elements(), input, out)?;
                (TensorType::F16, out)
            }
            Place::Packed(offset, packing) => {
                return self.pack(part, own.part(offset, Pack::bytes(packing, rows, columns)));
            }
        };
        StoredMatrix::ggml(kind, rows, columns, data)
            .map_err(|error| BackendError::Load { reason: format!("tensor {}: {error}", part.name()) })
    }

    /// The bytes of a tensor in its file, which is mapped once.
    fn in_file(&mut self, file: &Arc<MappedFile>, part: &Part<'_>) -> Result<Slice, BackendError> {
        let buffer = match self.files.get(file.path()) {
            Some(buffer) => *buffer,
            None => {
                let buffer = self.device.map(file).map_err(|error| device_error(&error, REMEDY))?;
                self.files.insert(file.path().to_owned(), buffer);
                buffer
            }
        };
        let tensor = part.in_file().expect("only what lies together in a file is read there");
        Ok(Slice { buffer, offset: tensor.bytes.start, length: tensor.bytes.len() })
    }

    fn pack(&mut self, part: &Part<'_>, out: Slice) -> Result<StoredMatrix, BackendError> {
        let staging = self.staging.expect("memory was set aside for the largest matrix");
        let data = staging.part(0, part.length());
        let matrix = StoredMatrix::ggml(part.kind(), part.rows(), part.columns(), data);
        let matrix = matrix
            .map_err(|error| BackendError::Load { reason: format!("tensor {}: {error}", part.name()) })?;
        let (dispatch, packed) = Pack { matrix, out }.dispatch();
        let written = self.device.write(data, &part.data());
        let submitted =
            written.and_then(|()| self.device.submit(&[Command::Dispatch(dispatch)], Profile::Whole));
        let done = submitted.and_then(|submission| self.device.wait(submission));
        done.map(|_| packed).map_err(|error| device_error(&error, "the tensor could not be packed"))
    }

    fn convert_to_half(&mut self, count: usize, input: Slice, out: Slice) -> Result<(), BackendError> {
        let (from, to) = (Number::BF16, Number::F16);
        let convert = Command::Dispatch(Convert { from, to, count, input, out }.dispatch());
        let submitted = self.device.submit(&[convert], Profile::Whole);
        let done = submitted.and_then(|submission| self.device.wait(submission));
        done.map(drop).map_err(|error| device_error(&error, "the tensor could not be converted to f16"))
    }
}
