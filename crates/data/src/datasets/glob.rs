//! Patterns of paths, and the text that their wildcards stand for.
//!
//! `*` stands for any text within a name, `?` for one character, `**` for any number of folders.

/// Returns the text that each wildcard of a pattern stands for in a path, or `None` if the path
/// does not match. Both are divided by `/`; `**` stands for its folders, joined by `/`.
pub(super) fn captures(pattern: &str, path: &str) -> Option<Vec<String>> {
    let pattern: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let path: Vec<&str> = path.split('/').collect();
    let mut found = Vec::new();
    folders(&pattern, &path, &mut found).then_some(found)
}

fn folders(pattern: &[&str], path: &[&str], found: &mut Vec<String>) -> bool {
    match pattern {
        [] => path.is_empty(),
        ["**", rest @ ..] => (0..=path.len()).any(|count| {
            let before = found.len();
            found.push(path[..count].join("/"));
            let matches = folders(rest, &path[count..], found);
            if !matches {
                found.truncate(before);
            }
            matches
        }),
        [first, rest @ ..] => {
            let Some((name, others)) = path.split_first() else { return false };
            let before = found.len();
            let name: Vec<char> = name.chars().collect();
            let first: Vec<char> = first.chars().collect();
            let matches = text(&first, &name, found) && folders(rest, others, found);
            if !matches {
                found.truncate(before);
            }
            matches
        }
    }
}

/// Matches one name. Only the last `*` is tried again, which suffices, so that no pattern takes
/// longer than the product of both lengths.
fn text(pattern: &[char], name: &[char], found: &mut Vec<String>) -> bool {
    let (mut at, mut read) = (0, 0);
    // The places of the last star in the pattern, in the name, and in what was found.
    let mut star: Option<(usize, usize, usize)> = None;
    loop {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read, found.len()));
                found.push(String::new());
                at += 1;
            }
            Some('?') if read < name.len() => {
                found.push(name[read].to_string());
                (at, read) = (at + 1, read + 1);
            }
            Some(expected) if name.get(read) == Some(expected) => (at, read) = (at + 1, read + 1),
            None if read == name.len() => return true,
            _ => {
                let Some((place, from, captured)) = star else { return false };
                if from >= name.len() {
                    return false;
                }
                let mut text = found[captured].clone();
                text.push(name[from]);
                found.truncate(captured);
                found.push(text);
                star = Some((place, from + 1, captured));
                (at, read) = (place + 1, from + 1);
            }
        }
    }
}

/// Returns true if a text is a pattern and not a name.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_text() {
        for (pattern, path, expected) in [
            ("a/*.png", "a/b.png", Some(vec!["b"])),
            ("a/*.png", "a/b.c.png", Some(vec!["b.c"])),
            ("*_ct.png", "x_ct_ct.png", Some(vec!["x_ct"])),
            ("*-*.tif", "a-b-c.tif", Some(vec!["a", "b-c"])),
            ("case?/im*", "case7/im12", Some(vec!["7", "12"])),
            ("**/im/*.png", "im/1.png", Some(vec!["", "1"])),
            ("**/im/*.png", "a/b/im/1.png", Some(vec!["a/b", "1"])),
            ("**/*.png", "a/1.png", Some(vec!["a", "1"])),
            ("./a/*", "a/1", Some(vec!["1"])),
            ("a/*.png", "a/b/c.png", None),
            ("*.png", "a.jpg", None),
            ("a?c", "ac", None),
            ("a*b*c", "aXbX", None),
        ] {
            let expected = expected.map(|texts| texts.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(captures(pattern, path), expected, "{pattern} {path}");
        }
        let long = "a".repeat(3_000);
        assert_eq!(captures(&"*a".repeat(50), &(long + "b")), None, "in a moment");
    }
}
