//! Durations as people say them.

/// Seconds in at most two units: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `1 d 3 h`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 if seconds < 9.95 && seconds.fract() != 0.0 => format!("{:.1} s", seconds.max(0.0)),
        0..60 => format!("{whole} s"),
        60..3_600 => two(whole / 60, "min", whole % 60, "s"),
        3_600..86_400 => two(whole / 3_600, "h", whole % 3_600 / 60, "min"),
        _ => two(whole / 86_400, "d", whole % 86_400 / 3_600, "h"),
    }
}

/// Writes two units, or the larger one where the smaller one is zero.
fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large} {large_unit}") } else { format!("{large} {large_unit} {small} {small_unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_in_at_most_two_units() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.42, "0.4 s"),
            (12.3, "12 s"),
            (59.7, "1 min"),
            (200.0, "3 min 20 s"),
            (3_600.0, "1 h"),
            (7_500.0, "2 h 5 min"),
            (97_200.0, "1 d 3 h"),
            (-1.0, "0 s"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }
}
