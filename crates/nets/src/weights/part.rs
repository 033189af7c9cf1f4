//! The part of a file that weights are read from: a file may hold the weights that learned and
//! their moving average.

use crate::names::PublishedNames;

/// The part of a file that weights were read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsPart {
    /// The key under which the weights lie, such as `state_dict.model`; empty if they lie at the
    /// top.
    pub key: String,
    /// The keys under which the file holds the weights of the network too.
    pub others: Vec<String>,
    /// True if the file names the network with its options, as this project writes it; else both
    /// follow from the names and shapes of the weights, as far as these tell them.
    pub names_network: bool,
}

impl WeightsPart {
    /// Finds the part to read among the tensors of a file, each given by its name and the number of
    /// its axes.
    ///
    /// It is the one under `key` if that is given, or else the one with the shortest key that names
    /// no average. The error holds the keys that there are; it is `None` if a file holds no such
    /// network.
    pub(super) fn find(
        tensors: &[(String, usize)],
        names: PublishedNames,
        key: Option<&str>,
    ) -> Option<Result<Self, Vec<String>>> {
        let mut keys: Vec<_> = names.prefixes(tensors).into_iter().map(|prefix| prefix.trim_end_matches('.')).collect();
        keys.sort_by_key(|key| (is_average(key), key.len(), *key));
        if keys.is_empty() {
            return None;
        }
        let holds = |found: &str, key: &str| {
            found.strip_prefix(key).is_some_and(|rest| rest.is_empty() || key.is_empty() || rest.starts_with('.'))
        };
        let chosen = match key {
            None => keys[0],
            // The key itself, or the first below it.
            Some(key) => {
                let exact = keys.iter().find(|found| **found == key);
                match exact.or_else(|| {
                    keys.iter().filter(|found| !key.is_empty() && holds(found, key)).min_by_key(|found| found.len())
                }) {
                    Some(found) => found,
                    None => return Some(Err(keys.into_iter().map(Into::into).collect())),
                }
            }
        };
        let others = keys.iter().filter(|other| **other != chosen).map(|other| (*other).to_owned()).collect();
        Some(Ok(Self { key: chosen.to_owned(), others, names_network: false }))
    }

    /// Returns the name of a tensor within the part; `None` if it is not in the part, or is in one
    /// of the others.
    pub(super) fn name_of<'a>(&self, tensor: &'a str) -> Option<&'a str> {
        let below = |key: &str| match key {
            "" => Some(tensor),
            key => tensor.strip_prefix(key)?.strip_prefix('.'),
        };
        let inner = self.others.iter().filter(|other| other.len() > self.key.len());
        if inner.clone().any(|other| below(other).is_some()) { None } else { below(&self.key) }
    }
}

/// Returns whether a key names a moving average, by the usual words.
pub fn is_average(key: &str) -> bool {
    let key = key.to_lowercase();
    let mut words = key.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| word.starts_with("ema") || word.starts_with("averag") || matches!(word, "avg" | "swa"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::NetworkName;

    #[test]
    fn the_weights_that_learned_come_before_their_average_and_a_key_chooses() {
        let names = NetworkName::ALL[0].published();
        for (name, prefixes, key, chosen, others) in [
            ("the top", &[""][..], None, Ok(""), &[][..]),
            ("a prefix", &["state_dict.model."], None, Ok("state_dict.model"), &[]),
            ("a shorter average", &["ema.", "state_dict."], None, Ok("state_dict"), &["ema"]),
            ("timm", &["state_dict.", "state_dict_ema."], None, Ok("state_dict"), &["state_dict_ema"]),
            ("two in one module", &["ema_model.", "online_model."], None, Ok("online_model"), &["ema_model"]),
            ("an average alone", &["ema_state_dict.module."], None, Ok("ema_state_dict.module"), &[]),
            ("below the top", &["", "model_ema."], None, Ok(""), &["model_ema"]),
            (
                "a callback's",
                &["callbacks.EMA.state_dict.", "state_dict.net."],
                None,
                Ok("state_dict.net"),
                &["callbacks.EMA.state_dict"],
            ),
            ("the average by its key", &["", "model_ema."], Some("model_ema"), Ok("model_ema"), &[""]),
            (
                "the beginning of a key",
                &["model.", "ema_state_dict.module."],
                Some("ema_state_dict"),
                Ok("ema_state_dict.module"),
                &["model"],
            ),
            ("the top by its key", &["", "ema."], Some(""), Ok(""), &["ema"]),
            ("no top", &["model.", "ema."], Some(""), Err(&["model", "ema"][..]), &[]),
            ("no such key", &["model.", "ema."], Some("mode"), Err(&["model", "ema"]), &[]),
        ] {
            let mut tensors = vec![("epoch".to_owned(), 0), ("optimizer.first.in_conv.0.weight".to_owned(), 1)];
            tensors.extend(prefixes.iter().map(|prefix| (format!("{prefix}in_conv.0.weight"), 4)));
            let found = WeightsPart::find(&tensors, names, key).unwrap();
            match (found, chosen) {
                (Ok(part), Ok(key)) => assert_eq!(
                    (part.key.as_str(), &part.others[..]),
                    (key, &others.iter().map(|other| (*other).to_owned()).collect::<Vec<_>>()[..]),
                    "{name}"
                ),
                (Err(found), Err(keys)) => assert_eq!(found, keys, "{name}"),
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
        assert_eq!(WeightsPart::find(&[("xin_conv.0.weight".into(), 4)], names, None), None, "part of a word");
    }

    #[test]
    fn a_tensor_is_in_one_part() {
        let part = |key: &str, others: &[&str]| WeightsPart {
            key: key.into(),
            others: others.iter().map(|other| (*other).to_owned()).collect(),
            names_network: false,
        };
        for (part, tensor, name) in [
            (part("", &["ema"]), "a.weight", Some("a.weight")),
            (part("", &["ema"]), "ema.a.weight", None),
            (part("", &["ema"]), "emaa.weight", Some("emaa.weight")),
            (part("model", &["model.ema"]), "model.a.weight", Some("a.weight")),
            (part("model", &["model.ema"]), "model.ema.a.weight", None),
            (part("model.ema", &["model"]), "model.ema.a.weight", Some("a.weight")),
            (part("model.ema", &["model"]), "model.a.weight", None),
            (part("model", &[]), "models.a.weight", None),
        ] {
            assert_eq!(part.name_of(tensor), name, "{part:?}: {tensor}");
        }
    }
}
