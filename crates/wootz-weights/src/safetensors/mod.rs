//! Hugging Face folders: `config.json` beside one `model.safetensors`, or several and their index.

mod folder;
mod header;

pub use folder::{OpenedFolder, Unsupported, open_folder, parse_index};
pub use header::{Header, HeaderEntry};
