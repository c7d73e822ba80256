//! What comes before and after a text: `<s>`, `[CLS]` … `[SEP]`.

use serde_json::Value as Json;

use super::AddBos;

/// The ids around a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Surroundings {
    pub(super) before: Vec<u32>,
    pub(super) after: Vec<u32>,
}

impl Surroundings {
    pub(super) fn add(&self, ids: Vec<u32>, add: AddBos) -> Vec<u32> {
        let (before, after): (&[u32], &[u32]) = match add {
            AddBos::Never => return ids,
            AddBos::AsModel => (&self.before, &self.after),
            AddBos::IfMissing => (
                if ids.starts_with(&self.before) { &[] } else { &self.before },
                if ids.ends_with(&self.after) { &[] } else { &self.after },
            ),
        };
        if before.is_empty() && after.is_empty() {
            return ids;
        }
        [before, &ids, after].concat()
    }

    /// What the `post_processor` of a `tokenizer.json` puts around one text.
    ///
    /// # Errors
    /// What was found where something else should be.
    pub(super) fn from_post_processor(processor: &Json) -> Result<Surroundings, String> {
        let mut around = Surroundings::default();
        around.add_processor(processor, 0)?;
        Ok(around)
    }

    fn add_processor(&mut self, processor: &Json, depth: usize) -> Result<(), String> {
        match processor["type"].as_str() {
            None if processor.is_null() => Ok(()),
            Some("ByteLevel") => Ok(()),
            Some("BertProcessing" | "RobertaProcessing") => {
                self.before.insert(0, id(&processor["cls"][1])?);
                self.after.push(id(&processor["sep"][1])?);
                Ok(())
            }
            Some("TemplateProcessing") => self.add_template(processor),
            Some("Sequence") if depth < 8 => {
                let processors = processor["processors"].as_array().map(Vec::as_slice).unwrap_or_default();
                processors.iter().try_for_each(|processor| self.add_processor(processor, depth + 1))
            }
            other => Err(format!("the post-processor {}", other.unwrap_or("without a type"))),
        }
    }

    fn add_template(&mut self, processor: &Json) -> Result<(), String> {
        let pieces = processor["single"].as_array().ok_or("a template without the list single")?;
        let (mut before, mut after, mut seen) = (Vec::new(), Vec::new(), false);
        for piece in pieces {
            if !piece["Sequence"].is_null() {
                seen = true;
                continue;
            }
            let name = piece["SpecialToken"]["id"].as_str().ok_or("a template piece of no known kind")?;
            let ids = processor["special_tokens"][name]["ids"]
                .as_array()
                .ok_or_else(|| format!("the template token {name}, which special_tokens does not have"))?;
            for value in ids {
                if seen { &mut after } else { &mut before }.push(id(value)?);
            }
        }
        self.before.splice(0..0, before);
        self.after.extend(after);
        Ok(())
    }
}

fn id(value: &Json) -> Result<u32, String> {
    value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| format!("the id {value}"))
}
