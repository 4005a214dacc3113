//! The place of a record in the files, as one number.

/// The number of bits for the line, and for the record in the line. The bits above them are the file.
const LINE_BITS: u32 = 32;
const RECORD_BITS: u32 = 16;

/// The place of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The index of the file.
    pub(super) file: usize,
    /// The number of the line, from 1.
    pub(super) line: u64,
    /// The number of the record in the line, from 1; 0 if the line is the record.
    pub(super) record: u64,
}

impl Place {
    pub(super) fn id(self) -> u64 {
        ((self.file as u64) << (LINE_BITS + RECORD_BITS)) | (self.line << RECORD_BITS) | self.record
    }

    pub(super) fn of_id(id: u64) -> Self {
        Self {
            file: (id >> (LINE_BITS + RECORD_BITS)) as usize,
            line: (id >> RECORD_BITS) & ((1 << LINE_BITS) - 1),
            record: id & ((1 << RECORD_BITS) - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_gives_the_place_back() {
        for (file, line, record) in [(0, 1, 0), (3, u64::from(u32::MAX), 65_535), (65_535, 7, 2)] {
            let place = Place { file, line, record };
            assert_eq!(Place::of_id(place.id()), place);
        }
    }
}
