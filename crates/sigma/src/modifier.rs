//! The modifiers after a field name: `Field|contains|all`.
//!
//! Only their names; [`crate::resolve`] implements them. Source: Sigma modifiers appendix 2.1.0.

/// One modifier of a detection item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modifier {
    /// The field contains the value.
    Contains,
    /// The field starts with the value.
    StartsWith,
    /// The field ends with the value.
    EndsWith,
    /// Every value must match, not just one.
    All,
    /// The field is present (`true`) or absent (`false`).
    Exists,
    /// Comparison is case-sensitive.
    Cased,
    /// Negates the item.
    Neq,
    /// A dash that starts a Windows command-line option stands for any of five characters.
    Windash,
    /// The value is a regular expression.
    Regex,
    /// After [`Modifier::Regex`]: comparison ignores case.
    RegexIgnoreCase,
    /// After [`Modifier::Regex`]: `^` and `$` match at line ends.
    RegexMultiLine,
    /// After [`Modifier::Regex`]: `.` matches line ends.
    RegexDotAll,
    /// The value in base64.
    Base64,
    /// The value in base64 at each of the three offsets it can have inside a longer text.
    Base64Offset,
    /// The value in UTF-16, little endian (`utf16le`, `wide`).
    Utf16Le,
    /// The value in UTF-16, big endian.
    Utf16Be,
    /// The value in UTF-16 with a byte order mark, little endian.
    Utf16,
    /// The field is a number below the value.
    Lt,
    /// The field is a number below or equal to the value.
    Lte,
    /// The field is a number above the value.
    Gt,
    /// The field is a number above or equal to the value.
    Gte,
    /// Compares a part of the time in the field, in UTC.
    Time(TimePart),
    /// The field is an address in the network.
    Cidr,
    /// `%name%` in the value stands for the placeholder's values.
    Expand,
    /// The value is the name of another field; the two fields are compared.
    FieldRef,
}

/// A part of a time, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimePart {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// Day of the month, 1 to 31.
    Day,
    /// Week of the year according to ISO 8601, 1 to 53.
    Week,
    /// 1 to 12.
    Month,
    /// For example 2026.
    Year,
}

impl Modifier {
    /// The modifier with this name (lower case, as in rules); `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "contains" => Self::Contains,
            "startswith" => Self::StartsWith,
            "endswith" => Self::EndsWith,
            "all" => Self::All,
            "exists" => Self::Exists,
            "cased" => Self::Cased,
            "neq" => Self::Neq,
            "windash" => Self::Windash,
            "re" => Self::Regex,
            "i" => Self::RegexIgnoreCase,
            "m" => Self::RegexMultiLine,
            "s" => Self::RegexDotAll,
            "base64" => Self::Base64,
            "base64offset" => Self::Base64Offset,
            "wide" | "utf16le" => Self::Utf16Le,
            "utf16be" => Self::Utf16Be,
            "utf16" => Self::Utf16,
            "lt" => Self::Lt,
            "lte" => Self::Lte,
            "gt" => Self::Gt,
            "gte" => Self::Gte,
            "minute" => Self::Time(TimePart::Minute),
            "hour" => Self::Time(TimePart::Hour),
            "day" => Self::Time(TimePart::Day),
            "week" => Self::Time(TimePart::Week),
            "month" => Self::Time(TimePart::Month),
            "year" => Self::Time(TimePart::Year),
            "cidr" => Self::Cidr,
            "expand" => Self::Expand,
            "fieldref" => Self::FieldRef,
            _ => return None,
        })
    }
}
