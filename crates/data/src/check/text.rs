//! A report as text.

use std::fmt::{self, Display, Formatter};

use seg_text::control::escape;

use super::copies::{Copies, Likeness};
use super::report::{Finding, PartReport, Report, Sizes};

/// The most lines of one kind that are shown; the others are in the JSON.
const LINES_MAX: usize = 12;
/// The most samples of one finding that are named.
const NAMES_MAX: usize = 4;

impl Display for Report {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        writeln!(to, "data         {}", self.name)?;
        writeln!(to, "layout       {}", self.layout)?;
        writeln!(to, "read as      {}", escape(&self.reading))?;
        writeln!(to, "parts        {}", self.use_of_images)?;
        self.notes.iter().try_for_each(|note| writeln!(to, "not used     {}", escape(note)))?;
        let classes: Vec<_> =
            self.classes.iter().enumerate().map(|(label, class)| format!("{label} {}", class.name)).collect();
        writeln!(to, "classes      {}; {} masks", classes.join(", "), self.masks)?;
        if let Some(fingerprint) = &self.fingerprint {
            writeln!(to, "fingerprint  {fingerprint}")?;
        }
        self.parts.iter().try_for_each(|part| write_part(to, part))?;
        write_findings(to, "what stops training", &self.problems)?;
        write_findings(to, "what may be a mistake", &self.warnings)?;
        for likeness in [Likeness::SameFile, Likeness::SamePixels, Likeness::Alike, Likeness::SameMask] {
            let copies: Vec<&Copies> = self.copies.iter().filter(|copies| copies.likeness == likeness).collect();
            write_copies(to, likeness, &copies)?;
        }
        let verdict = match self.problems.len() {
            0 => "nothing stops training".into(),
            count => format!("{count} problem(s) stop training"),
        };
        write!(to, "\n{verdict}")
    }
}

fn write_part(to: &mut Formatter<'_>, part: &PartReport) -> fmt::Result {
    writeln!(to, "\n{}: {} images", part.part, part.images)?;
    for (title, sizes) in [("sizes", &part.sizes), ("resampled", &part.resampled)] {
        if let Some(sizes) = sizes {
            writeln!(to, "  {title:<9}  {}", in_words(sizes))?;
        }
    }
    let kinds: Vec<_> = part.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    writeln!(to, "  kinds      {}", kinds.join(", "))?;
    for (index, class) in part.classes.iter().enumerate() {
        let title = if index == 0 { "pixels" } else { "" };
        writeln!(to, "  {title:<9}{:>7.2} %  {}, in {} masks", class.share * 100.0, class.name, class.masks)?;
    }
    if part.ignored > 0.0 {
        writeln!(to, "  {:<9}{:>7.2} %  of all do not count", "ignored", part.ignored * 100.0)?;
    }
    Ok(())
}

fn in_words(sizes: &Sizes) -> String {
    let size = |[width, height]: [u32; 2]| format!("{width}x{height}");
    let [smallest, median, largest] = [sizes.smallest, sizes.median, sizes.largest].map(size);
    match sizes.different {
        1 => format!("all {median}"),
        different => format!("{smallest} to {largest}, median {median}, {different} different"),
    }
}

fn write_findings(to: &mut Formatter<'_>, title: &str, findings: &[Finding]) -> fmt::Result {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(to, "\n{title}")?;
    for Finding { message, samples } in findings.iter().take(LINES_MAX) {
        writeln!(to, "  - {}", escape(message))?;
        // A message about files names the first of them itself.
        if !samples.is_empty() && !samples.iter().any(|sample| message.contains(&format!("`{sample}`"))) {
            writeln!(to, "    {}", first(samples))?;
        }
    }
    write_rest(to, findings.len())
}

fn write_copies(to: &mut Formatter<'_>, likeness: Likeness, copies: &[&Copies]) -> fmt::Result {
    if copies.is_empty() {
        return Ok(());
    }
    let title = match likeness {
        Likeness::SameFile => "the same image file",
        Likeness::SamePixels => "the same pixels in other files",
        Likeness::Alike => "images that look alike, perhaps the same",
        Likeness::SameMask => "the same mask for different images",
    };
    let across = copies.iter().filter(|copies| copies.across_parts).count();
    let across = if across > 0 {
        format!(", {across} ACROSS PARTS: validation or test knows what was learned")
    } else {
        String::new()
    };
    writeln!(to, "\n{title}: {}{across}", copies.len())?;
    for copies in copies.iter().take(LINES_MAX) {
        writeln!(to, "  - {}", first(&copies.samples))?;
    }
    write_rest(to, copies.len())
}

fn write_rest(to: &mut Formatter<'_>, count: usize) -> fmt::Result {
    if count > LINES_MAX { writeln!(to, "  ... and {} more", count - LINES_MAX) } else { Ok(()) }
}

/// Lists the first few names, on one line whatever characters they have.
fn first(names: &[String]) -> String {
    let more = if names.len() > NAMES_MAX { format!(" and {} more", names.len() - NAMES_MAX) } else { String::new() };
    let names: Vec<_> = names.iter().take(NAMES_MAX).map(|name| escape(name)).collect();
    names.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_on_one_line() {
        let names = ["a", "b\n  - nothing stops training", "c\u{1b}[2J", "d", "e"].map(str::to_owned);
        assert_eq!(first(&names), r"a, b\u{a}  - nothing stops training, c\u{1b}[2J, d and 1 more");
    }
}
