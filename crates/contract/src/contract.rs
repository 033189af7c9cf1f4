//! The contract of a model: one value that travels with the weights.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::names::{names, notes};
use crate::{Class, Input, Output, Provenance, SizePolicy};

/// The version of the contract's layout.
pub const CONTRACT_FORMAT: u32 = 1;

/// The version in which [`Input::side_multiple`] may differ from 1; readers of older versions
/// refuse it. [`Input::contract_format`] is the version to write.
pub const CONTRACT_FORMAT_MULTIPLE: u32 = 2;

/// The version in which [`Input::reading`] may name something, and classes may have
/// [codes](Class::codes); readers of older versions refuse it.
pub const CONTRACT_FORMAT_READING: u32 = 3;

/// The version in which [`Reading::resample`](crate::Reading::resample) may name a spacing; readers
/// of older versions refuse it.
pub const CONTRACT_FORMAT_RESAMPLING: u32 = 4;

/// The largest side that a contract may name, in pixels.
const SIDE_MAX: usize = 1 << 16;

/// The largest number of images that a graph may take at once.
const BATCH_MAX: usize = 1 << 16;

/// The label of pixels that count in neither the loss nor a metric.
pub const IGNORE_LABEL: u8 = 255;

/// The contract of a model: what it expects and means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// The version of the layout, as [`Input::contract_format`] returns it.
    pub format: u32,
    /// The image as the network takes it.
    pub input: Input,
    /// The network's output.
    pub output: Output,
    /// The classes by index; index 0 is the background.
    pub classes: Vec<Class>,
    /// The origin of the weights.
    pub provenance: Provenance,
}

/// An error that makes a contract unusable.
#[derive(Debug, Error)]
pub enum ContractError {
    /// The text is not a contract.
    #[error("cannot read the model's contract: it is not the JSON that this version writes")]
    Json(#[from] serde_json::Error),
    /// The contract was written by a version with another layout.
    #[error(
        "the model's contract has format {found}, this version reads {CONTRACT_FORMAT} to {CONTRACT_FORMAT_RESAMPLING}; \
         use the tool that wrote it"
    )]
    Format {
        /// The format that the contract names.
        found: u32,
    },
    /// A field holds an impossible value.
    #[error("the model's contract is unusable: `{field}` is {found}, expected {expected}")]
    Field {
        /// The path of the field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The expected value.
        expected: &'static str,
    },
}

impl Contract {
    /// Reads a contract from its JSON text and validates it.
    ///
    /// # Errors
    /// When the text is not a contract, has another format, or holds impossible values.
    pub fn from_json(text: &str) -> Result<Self, ContractError> {
        /// The format alone, read first so that another layout is named as such and not as a JSON
        /// error.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_str(text)?;
        if !(CONTRACT_FORMAT..=CONTRACT_FORMAT_RESAMPLING).contains(&format) {
            return Err(ContractError::Format { found: format });
        }
        let contract: Self = serde_json::from_str(text)?;
        contract.validate()?;
        Ok(contract)
    }

    /// Returns the contract as indented JSON; equal contracts give equal text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a contract holds no map and no non-string key")
    }

    /// Returns the oldest [`format`](Self::format) that can hold this contract.
    pub fn least_format(&self) -> u32 {
        let has_codes = self.classes.iter().any(|class| class.codes.is_some());
        let of_classes = if has_codes { CONTRACT_FORMAT_READING } else { CONTRACT_FORMAT };
        self.input.contract_format().max(of_classes)
    }

    /// Checks that every field holds a possible value.
    ///
    /// # Errors
    /// [`ContractError::Field`] for the first field that does not.
    pub fn validate(&self) -> Result<(), ContractError> {
        let channels = self.input.color.channels();
        let refuse = |field, found: String, expected| Err(ContractError::Field { field, found, expected });
        names(self)?;
        notes(self)?;
        if self.classes.len() < 2 || self.classes.len() > usize::from(IGNORE_LABEL) {
            return refuse("classes", format!("{} classes", self.classes.len()), "2 to 255 classes");
        }
        if self.input.mean.len() != channels || self.input.mean.iter().any(|mean| !mean.is_finite()) {
            return refuse("input.mean", format!("{:?}", self.input.mean), "one finite number per channel");
        }
        if self.input.std.len() != channels || self.input.std.iter().any(|std| !std.is_normal() || *std < 0.0) {
            return refuse("input.std", format!("{:?}", self.input.std), "one positive number per channel");
        }
        if self.input.side_min == 0 || self.input.side_min > SIDE_MAX {
            return refuse("input.side_min", self.input.side_min.to_string(), "1 to 65536 pixels");
        }
        if self.input.side_multiple == 0 || self.input.side_multiple > SIDE_MAX {
            return refuse("input.side_multiple", self.input.side_multiple.to_string(), "1 to 65536 pixels");
        }
        if let Some(windowing) = self.input.reading.windowing.filter(|windowing| !windowing.is_usable()) {
            const USABLE: &str = "a width of at least 1, or percentiles that rise between 0 and 100";
            return refuse("input.reading.windowing", windowing.to_string(), USABLE);
        }
        if let Some(level) = self.input.reading.level.filter(|level| !level.is_usable()) {
            return refuse("input.reading.level", level.to_string(), "a positive size in micrometres");
        }
        if let Some(spacing) = self.input.reading.resample {
            if !spacing.is_usable() {
                return refuse("input.reading.resample", spacing.to_string(), "0.000001 to 1000 mm");
            }
            if matches!(self.input.size, SizePolicy::Resize { .. }) {
                const KEPT: &str = "nothing where `input.size` stretches images to one size";
                return refuse("input.reading.resample", format!("{spacing} mm"), KEPT);
            }
            if self.format < CONTRACT_FORMAT_RESAMPLING {
                let found = format!("named in format {}", self.format);
                return refuse("input.reading.resample", found, "nothing in a contract of format 1 to 3");
            }
        }
        if !self.input.reading.is_empty() && self.format < CONTRACT_FORMAT_READING {
            let found = format!("named in format {}", self.format);
            return refuse("input.reading", found, "nothing in a contract of format 1 or 2");
        }
        if self.format < self.input.contract_format() {
            let found = self.input.side_multiple.to_string();
            return refuse("input.side_multiple", found, "1 in a contract of format 1");
        }
        const FITTING: &str = "sides from `input.side_min` to 65536 pixels that are multiples of `input.side_multiple`";
        let fits = |size: [usize; 2]| self.input.fits(size) && size.iter().all(|side| *side <= SIDE_MAX);
        if let SizePolicy::Resize { height, width } = self.input.size
            && !fits([height, width])
        {
            return refuse("input.size", format!("{height}x{width}"), FITTING);
        }
        let form = &self.input.form;
        if let Some(batch) = form.batch.filter(|batch| !(1..=BATCH_MAX).contains(batch)) {
            return refuse("input.form.batch", batch.to_string(), "1 to 65536 images");
        }
        if let Some([height, width]) = form.size {
            let found = format!("{height}x{width}");
            match self.input.size {
                _ if !fits([height, width]) => return refuse("input.form.size", found, FITTING),
                SizePolicy::Resize { height: own, width: wide } if [own, wide] != [height, width] => {
                    return refuse("input.form.size", found, "the size that `input.size` stretches images to");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::contract;
    use crate::{Code, Codes, Element, InputForm, OutputKind, Slices, Spacing, Windowing};

    #[test]
    fn json_round_trips() {
        let contract = contract();
        assert_eq!(Contract::from_json(&contract.to_json()).unwrap(), contract);
    }

    #[test]
    fn the_usual_form_is_not_written_and_an_unusual_one_is_read_back() {
        let mut contract = contract();
        assert!(!contract.to_json().contains("form\": {"), "{}", contract.to_json());
        contract.input.form = InputForm { element: Element::U8, batch: Some(4), size: Some([32, 48]) };
        contract.output.kind = OutputKind::Mask;
        assert_eq!(Contract::from_json(&contract.to_json()).unwrap(), contract);
    }

    #[test]
    fn a_multiple_of_sides_is_written_where_there_is_one() {
        let mut contract = contract();
        assert!(!contract.to_json().contains("side_multiple"), "{}", contract.to_json());
        contract.input.side_multiple = 32;
        contract.format = contract.input.contract_format();
        assert_eq!(contract.format, 2);
        assert_eq!(Contract::from_json(&contract.to_json()).unwrap(), contract);
    }

    #[test]
    fn the_reading_of_medical_images_is_written_where_it_is_named() {
        let mut contract = contract();
        assert!(!contract.to_json().contains("reading"), "{}", contract.to_json());
        contract.input.reading.windowing = Some(Windowing::Fixed { center: 40.0, width: 400.0 });
        contract.format = contract.input.contract_format();
        assert_eq!(contract.format, 3);
        assert_eq!(Contract::from_json(&contract.to_json()).unwrap(), contract);
    }

    #[test]
    fn a_spacing_is_written_in_a_format_that_older_readers_refuse() {
        let mut contract = contract();
        contract.input.reading.resample = Some(Spacing([0.5, 0.8]));
        contract.format = contract.least_format();
        assert_eq!(contract.format, 4);
        assert_eq!(Contract::from_json(&contract.to_json()).unwrap(), contract);
        let code = || Code { value: "1".into(), scheme: "SCT".into(), meaning: "x".into() };
        contract.classes[1].codes = Some(Codes { category: code(), r#type: code() });
        assert_eq!(contract.least_format(), 4);
    }

    #[test]
    fn unusable_contracts_name_the_field() {
        type Break = fn(&mut Contract);
        let rows: [(&str, Break); 22] = [
            ("format 5", |c| c.format = 5),
            ("`input.reading.resample` is named in format 3", |c| {
                c.format = 3;
                c.input.reading.resample = Some(Spacing([0.5; 2]));
            }),
            ("`input.reading.resample` is 0x1", |c| {
                c.format = 4;
                c.input.reading.resample = Some(Spacing([0.0, 1.0]));
            }),
            ("`input.reading.resample` is 0.5 mm, expected nothing where `input.size`", |c| {
                c.format = 4;
                c.input.reading.resample = Some(Spacing([0.5; 2]));
                c.input.size = SizePolicy::Resize { height: 32, width: 32 };
            }),
            ("`classes`", |c| c.classes.truncate(1)),
            ("`input.mean`", |c| c.input.mean = vec![0.0]),
            ("`input.mean`", |c| c.input.mean[1] = f32::NAN),
            ("`input.std`", |c| c.input.std[2] = 0.0),
            ("`input.side_min`", |c| c.input.side_min = 0),
            ("`input.size`", |c| c.input.size = SizePolicy::Resize { height: 8, width: 64 }),
            ("`input.side_multiple` is 0", |c| c.input.side_multiple = 0),
            ("`input.side_multiple` is 16", |c| c.input.side_multiple = 16),
            ("`input.reading`", |c| c.input.reading.slices = Some(Slices::Axial)),
            ("`input.reading.windowing` is 40,0", |c| {
                c.format = 3;
                c.input.reading.windowing = Some(Windowing::Fixed { center: 40.0, width: 0.0 });
            }),
            ("`input.size` is 32x40", |c| {
                (c.format, c.input.side_multiple) = (2, 16);
                c.input.size = SizePolicy::Resize { height: 32, width: 40 };
            }),
            ("`input.form.size` is 24x32", |c| {
                (c.format, c.input.side_multiple) = (2, 16);
                c.input.form.size = Some([24, 32]);
            }),
            ("`input.size` is 64x65537", |c| c.input.size = SizePolicy::Resize { height: 64, width: 65_537 }),
            ("`input.form.size` is 65537x64", |c| c.input.form.size = Some([65_537, 64])),
            ("`input.form.batch` is 65537", |c| c.input.form.batch = Some(65_537)),
            ("`input.form.batch`", |c| c.input.form.batch = Some(0)),
            ("`input.form.size` is 15x64", |c| c.input.form.size = Some([15, 64])),
            ("`input.form.size` is 32x64", |c| {
                c.input.size = SizePolicy::Resize { height: 64, width: 32 };
                c.input.form.size = Some([32, 64]);
            }),
        ];
        for (named, damage) in rows {
            let mut damaged = contract();
            damage(&mut damaged);
            // NaN has no JSON form. The value itself is validated, and its text if it can be
            // written.
            let error = damaged.validate().err().or_else(|| Contract::from_json(&damaged.to_json()).err());
            let message = error.unwrap_or_else(|| panic!("{named}: accepted")).to_string();
            assert!(message.contains(named), "{named}: {message}");
        }
    }

    #[test]
    fn foreign_json_is_refused() {
        for text in ["", "{}", "[1]", "{\"format\": 1}"] {
            assert!(matches!(Contract::from_json(text), Err(ContractError::Json(_))), "{text:?}");
        }
    }
}
