//! The description of what computes a session.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::provider::{ComputePrecision, Provider};
use crate::session::placement::PlacedNode;

/// The provider that computes a session, and how, for a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunsOn {
    /// The provider.
    pub provider: Provider,
    /// The precision in which it computes float32 values.
    pub precision: ComputePrecision,
    /// The device or the way to compute, if the options can choose it: OpenVINO's device, CUDA's
    /// kernels as one graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The version of ONNX Runtime.
    pub onnx_runtime: String,
    /// The plug-in in which the provider comes, if it does: its package and version, or the file
    /// that the user named, with its hash and options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The reasons against the providers that were asked for first, if a fallback was allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instead: Vec<String>,
    /// The number of nodes that each provider computes, by ONNX Runtime's name for it.
    pub nodes: BTreeMap<String, usize>,
    /// The nodes that another provider computes, except shape arithmetic on the CPU, if a fallback
    /// was allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<PlacedNode>,
    /// Each model of an ensemble, in their order, if they do not run alike. The fields above are
    /// then the first one's, except the reasons and the nodes, which are those of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Self>,
}

impl RunsOn {
    /// Joins the descriptions of several models, of which there is at least one: the first one,
    /// with the reasons and the nodes of all, and each by itself if they do not run alike.
    pub(crate) fn join(members: &[&Self]) -> Self {
        let mut all = members[0].clone();
        let alike = |member: &&Self| Self { nodes: BTreeMap::new(), ..(*member).clone() };
        if members.iter().map(alike).any(|member| member != alike(&members[0])) {
            all.members = members.iter().copied().cloned().collect();
        }
        for Self { instead, nodes, elsewhere, .. } in &members[1..] {
            for reason in instead {
                if !all.instead.contains(reason) {
                    all.instead.push(reason.clone());
                }
            }
            for (provider, count) in nodes {
                *all.nodes.entry(provider.clone()).or_default() += count;
            }
            all.elsewhere.extend(elsewhere.iter().cloned());
        }
        all
    }

    /// Lists notes for the user: why another provider computes than the requested one, and which
    /// nodes.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<_> = self.instead.iter().map(|reason| format!("cannot use {reason}")).collect();
        let mut operators = BTreeMap::<_, usize>::new();
        for node in &self.elsewhere {
            *operators.entry((&node.provider, &node.operator)).or_default() += 1;
        }
        for ((provider, operator), count) in operators {
            notes.push(format!("{provider} computes {count} {operator} instead of {}", self.provider));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_run_differently_are_told_apart() {
        let node = |name: &str| PlacedNode { name: name.into(), operator: "Conv".into(), provider: "CPU".into() };
        let cuda = RunsOn { provider: Provider::Cuda, nodes: [("CUDA".into(), 5)].into(), ..RunsOn::default() };
        let larger = RunsOn { nodes: [("CUDA".into(), 7)].into(), ..cuda.clone() };
        let leaves = |name| RunsOn {
            nodes: [("CUDA".into(), 4), ("CPU".into(), 1)].into(),
            elsewhere: vec![node(name)],
            ..cuda.clone()
        };
        let cpu = RunsOn { instead: vec!["CUDA: it is away".into()], ..RunsOn::default() };
        for (name, members, nodes, differ, notes) in [
            ("alone", vec![&cpu], 0, false, &["cannot use CUDA: it is away"][..]),
            ("of several sizes", vec![&cuda, &larger], 12, false, &[]),
            ("one on the CPU", vec![&cuda, &cpu], 5, true, &["cannot use CUDA: it is away"]),
            ("with equal reasons", vec![&cpu, &cpu], 0, false, &["cannot use CUDA: it is away"]),
            ("a node elsewhere", vec![&cuda, &leaves("a")], 10, true, &["CPU computes 1 Conv instead of CUDA"]),
            ("other nodes", vec![&leaves("a"), &leaves("b")], 10, true, &["CPU computes 2 Conv instead of CUDA"]),
        ] {
            let all = RunsOn::join(&members);
            assert_eq!(all.nodes.values().sum::<usize>(), nodes, "{name}");
            let expected: Vec<_> = members.iter().filter(|_| differ).map(|member| (*member).clone()).collect();
            assert_eq!(all.members, expected, "{name}");
            assert_eq!(all.notes(), notes, "{name}");
        }
    }
}
