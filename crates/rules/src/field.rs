//! The fields of each dataset, with their types.

use crate::Dataset;
use crate::recognise::FIELDS;

/// The type of a field, as Cloudflare documents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Text; also a field without a documented type.
    Text,
    /// A whole number.
    Integer,
    /// A floating-point number.
    Float,
    /// True or false.
    Boolean,
    /// A time, whose format depends on the Logpush job.
    Time,
    /// A list of texts.
    Texts,
    /// A list of whole numbers.
    Integers,
    /// An object, or a list of objects.
    Object,
}

/// A field of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub field_type: FieldType,
}

impl Dataset {
    /// Its fields, by name.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        FIELDS.lines().filter_map(move |line| {
            let mut columns = line.split('\t');
            if columns.next()? != self.name {
                return None;
            }
            let name = columns.next()?;
            let field_type = if name == self.time {
                FieldType::Time
            } else {
                of_reference(columns.next().unwrap_or_default())?
            };
            Some(Field { name, field_type })
        })
    }
}

/// The type with this name in the field reference.
fn of_reference(words: &str) -> Option<FieldType> {
    Some(match words {
        "" | "string" => FieldType::Text,
        "int" => FieldType::Integer,
        "float" => FieldType::Float,
        "bool" => FieldType::Boolean,
        "int or string" => FieldType::Time,
        "array[string]" => FieldType::Texts,
        "array[int]" => FieldType::Integers,
        "object" | "array[object]" => FieldType::Object,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DATASETS;

    #[test]
    fn every_field_of_the_reference_has_a_type() {
        let found: usize = DATASETS.iter().map(|dataset| dataset.fields().count()).sum();
        assert_eq!(found, FIELDS.lines().count());
        for dataset in DATASETS {
            let time = dataset.fields().find(|field| field.name == dataset.time);
            assert_eq!(
                time.map(|field| field.field_type),
                Some(FieldType::Time),
                "{}",
                dataset.name
            );
        }
    }
}
