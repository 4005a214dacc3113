//! Where countries are: the middle of each, in whole degrees.
//!
//! Whole degrees are enough: the rule that asks looks at hundreds of kilometres. Common geographic knowledge,
//! rounded.

/// ISO 3166 code, latitude north, longitude east.
const MIDDLES: &[(&str, i16, i16)] = &[
    ("AD", 43, 2),
    ("AE", 24, 54),
    ("AF", 34, 66),
    ("AG", 17, -62),
    ("AL", 41, 20),
    ("AM", 40, 45),
    ("AO", -12, 18),
    ("AR", -34, -64),
    ("AT", 47, 14),
    ("AU", -25, 134),
    ("AZ", 40, 48),
    ("BA", 44, 18),
    ("BB", 13, -60),
    ("BD", 24, 90),
    ("BE", 51, 5),
    ("BF", 12, -2),
    ("BG", 43, 25),
    ("BH", 26, 51),
    ("BI", -3, 30),
    ("BJ", 9, 2),
    ("BN", 4, 115),
    ("BO", -17, -65),
    ("BR", -10, -53),
    ("BS", 24, -76),
    ("BT", 27, 90),
    ("BW", -22, 24),
    ("BY", 53, 28),
    ("BZ", 17, -89),
    ("CA", 56, -106),
    ("CD", -3, 24),
    ("CF", 7, 21),
    ("CG", -1, 15),
    ("CH", 47, 8),
    ("CI", 8, -6),
    ("CL", -33, -71),
    ("CM", 6, 13),
    ("CN", 35, 105),
    ("CO", 4, -73),
    ("CR", 10, -84),
    ("CU", 22, -79),
    ("CV", 16, -24),
    ("CY", 35, 33),
    ("CZ", 50, 15),
    ("DE", 51, 10),
    ("DJ", 12, 43),
    ("DK", 56, 10),
    ("DM", 15, -61),
    ("DO", 19, -70),
    ("DZ", 28, 3),
    ("EC", -1, -78),
    ("EE", 59, 26),
    ("EG", 27, 30),
    ("ER", 15, 39),
    ("ES", 40, -4),
    ("ET", 9, 40),
    ("FI", 62, 26),
    ("FJ", -18, 178),
    ("FR", 47, 2),
    ("GA", -1, 12),
    ("GB", 54, -2),
    ("GE", 42, 43),
    ("GH", 8, -1),
    ("GM", 13, -15),
    ("GN", 10, -11),
    ("GQ", 2, 10),
    ("GR", 39, 22),
    ("GT", 15, -90),
    ("GY", 5, -59),
    ("HK", 22, 114),
    ("HN", 15, -87),
    ("HR", 45, 16),
    ("HT", 19, -72),
    ("HU", 47, 19),
    ("ID", -2, 118),
    ("IE", 53, -8),
    ("IL", 31, 35),
    ("IN", 22, 79),
    ("IQ", 33, 44),
    ("IR", 32, 54),
    ("IS", 65, -19),
    ("IT", 43, 12),
    ("JM", 18, -77),
    ("JO", 31, 37),
    ("JP", 36, 138),
    ("KE", 0, 38),
    ("KG", 41, 75),
    ("KH", 13, 105),
    ("KP", 40, 127),
    ("KR", 36, 128),
    ("KW", 29, 48),
    ("KZ", 48, 67),
    ("LA", 18, 105),
    ("LB", 34, 36),
    ("LI", 47, 10),
    ("LK", 8, 81),
    ("LR", 6, -9),
    ("LS", -30, 28),
    ("LT", 55, 24),
    ("LU", 50, 6),
    ("LV", 57, 25),
    ("LY", 27, 17),
    ("MA", 32, -6),
    ("MC", 44, 7),
    ("MD", 47, 29),
    ("ME", 43, 19),
    ("MG", -19, 47),
    ("MK", 42, 22),
    ("ML", 17, -4),
    ("MM", 21, 96),
    ("MN", 47, 104),
    ("MO", 22, 114),
    ("MR", 20, -11),
    ("MT", 36, 14),
    ("MU", -20, 57),
    ("MV", 3, 73),
    ("MW", -13, 34),
    ("MX", 23, -102),
    ("MY", 4, 109),
    ("MZ", -18, 35),
    ("NA", -22, 17),
    ("NE", 17, 9),
    ("NG", 9, 8),
    ("NI", 13, -85),
    ("NL", 52, 5),
    ("NO", 62, 10),
    ("NP", 28, 84),
    ("NZ", -41, 174),
    ("OM", 21, 56),
    ("PA", 9, -80),
    ("PE", -10, -76),
    ("PG", -6, 147),
    ("PH", 12, 122),
    ("PK", 30, 70),
    ("PL", 52, 19),
    ("PR", 18, -66),
    ("PS", 32, 35),
    ("PT", 40, -8),
    ("PY", -23, -58),
    ("QA", 25, 51),
    ("RO", 46, 25),
    ("RS", 44, 21),
    ("RU", 60, 90),
    ("RW", -2, 30),
    ("SA", 24, 45),
    ("SC", -5, 55),
    ("SD", 15, 30),
    ("SE", 62, 15),
    ("SG", 1, 104),
    ("SI", 46, 15),
    ("SK", 49, 19),
    ("SL", 9, -12),
    ("SM", 44, 12),
    ("SN", 14, -14),
    ("SO", 6, 46),
    ("SR", 4, -56),
    ("SS", 7, 30),
    ("SV", 14, -89),
    ("SY", 35, 38),
    ("SZ", -27, 32),
    ("TD", 15, 19),
    ("TG", 9, 1),
    ("TH", 15, 101),
    ("TJ", 39, 71),
    ("TL", -9, 126),
    ("TM", 39, 60),
    ("TN", 34, 9),
    ("TR", 39, 35),
    ("TT", 10, -61),
    ("TW", 24, 121),
    ("TZ", -6, 35),
    ("UA", 49, 32),
    ("UG", 1, 32),
    ("US", 39, -98),
    ("UY", -33, -56),
    ("UZ", 41, 64),
    ("VA", 42, 12),
    ("VE", 7, -66),
    ("VN", 16, 106),
    ("WS", -14, -172),
    ("XK", 43, 21),
    ("YE", 16, 48),
    ("ZA", -29, 24),
    ("ZM", -13, 28),
    ("ZW", -19, 29),
];

/// The Earth's mean radius in kilometres.
const EARTH_RADIUS_KM: f64 = 6_371.0;

/// Kilometres between the middles of two countries along the surface; `None` when one is not known.
pub(super) fn distance_km(from: &str, to: &str) -> Option<f64> {
    let ((lat_a, lon_a), (lat_b, lon_b)) = (middle(from)?, middle(to)?);
    let half_lat = ((lat_b - lat_a) / 2.0).sin();
    let half_lon = ((lon_b - lon_a) / 2.0).sin();
    let square = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lon * half_lon;
    Some(2.0 * EARTH_RADIUS_KM * square.sqrt().min(1.0).asin())
}

fn middle(code: &str) -> Option<(f64, f64)> {
    let index = MIDDLES.binary_search_by_key(&code, |(known, ..)| known).ok()?;
    let (_, latitude, longitude) = MIDDLES[index];
    Some((
        f64::from(latitude).to_radians(),
        f64::from(longitude).to_radians(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_distances_are_right() {
        assert!(MIDDLES.is_sorted_by(|a, b| a.0 < b.0));
        let far = distance_km("FR", "SG").unwrap();
        assert!((10_500.0..11_500.0).contains(&far), "{far}");
        assert!(distance_km("BE", "NL").unwrap() < 200.0);
        assert_eq!(distance_km("FR", "FR"), Some(0.0));
        assert_eq!(distance_km("FR", "T1"), None);
        assert!(
            MIDDLES
                .iter()
                .all(|(code, ..)| !crate::ingest::country::is_none(code))
        );
    }
}
