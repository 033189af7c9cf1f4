//! The metrics of masks: one table with the name, the unit and the definition of each.

use serde::{Serialize, Serializer};

/// A metric of masks.
///
/// Maps that are keyed by metric list them in the order of declaration; nothing else depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// `2 TP / (2 TP + FP + FN)`.
    Dice,
    /// `TP / (TP + FP + FN)`.
    Iou,
    /// The mean IoU over all classes, including the background.
    MeanIou,
    /// The share of pixels whose class was found.
    Accuracy,
    /// `TP / (TP + FN)`.
    Sensitivity,
    /// `TN / (TN + FP)`.
    Specificity,
    /// `TP / (TP + FP)`.
    Precision,
    /// The normalised surface Dice.
    SurfaceDice,
    /// The boundary F1.
    BoundaryF1,
    /// clDice.
    CenterlineDice,
    /// The Hausdorff distance.
    Hausdorff,
    /// The 95 % Hausdorff distance.
    Hausdorff95,
    /// The average symmetric surface distance.
    AverageSurfaceDistance,
    /// The normalised surface Dice, by a tolerance in millimetres.
    SurfaceDiceMm,
    /// The Hausdorff distance in millimetres.
    HausdorffMm,
    /// The 95 % Hausdorff distance in millimetres.
    Hausdorff95Mm,
    /// The average symmetric surface distance in millimetres.
    AverageSurfaceDistanceMm,
}

/// The largest distance of two surfaces that count as one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The distance in pixels.
    pub px: f64,
    /// The distance in millimetres, for images whose pixels have a known size.
    pub mm: f64,
}

/// The unit of a metric, which also says whether larger values are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// A share from 0 to 1; larger is better.
    Share,
    /// Pixels; smaller is better.
    Pixels,
    /// Millimetres; smaller is better.
    Millimetres,
}

/// The subject of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// One class.
    Class,
    /// All classes at once.
    AllClasses,
}

/// The data that a metric is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Counts of pixels, which can be added over images.
    Counts,
    /// The shape of regions in one image.
    Shape,
    /// The shape of regions in one image whose pixels have a known size.
    SizedShape,
}

/// The facts about a metric that tables, files and reports show.
#[derive(Debug)]
struct Facts {
    metric: Metric,
    /// The name in files.
    name: &'static str,
    /// The name in tables.
    title: &'static str,
    unit: Unit,
    subject: Subject,
    source: Source,
    /// The definition in a sentence; `{tolerance}` stands for the tolerance of surfaces in pixels,
    /// `{tolerance_mm}` for that in millimetres.
    definition: &'static str,
}

/// The metrics in the order in which tables show them.
const TABLE: [Facts; 17] = [
    Facts {
        metric: Metric::Dice,
        name: "dice",
        title: "Dice",
        unit: Unit::Share,
        subject: Subject::Class,
        source: Source::Counts,
        definition: "2 TP / (2 TP + FP + FN), pixels counted; 1 where the class is in neither mask",
    },
    Facts {
        metric: Metric::Iou,
        name: "iou",
        title: "IoU",
        unit: Unit::Share,
        subject: Subject::Class,
        source: Source::Counts,
        definition: "TP / (TP + FP + FN), pixels counted; 1 where the class is in neither mask",
    },
    Facts {
        metric: Metric::MeanIou,
        name: "mean_iou",
        title: "mean IoU",
        unit: Unit::Share,
        subject: Subject::AllClasses,
        source: Source::Counts,
        definition: "the mean IoU over all classes, the background among them",
    },
    Facts {
        metric: Metric::Accuracy,
        name: "accuracy",
        title: "accuracy",
        unit: Unit::Share,
        subject: Subject::AllClasses,
        source: Source::Counts,
        definition: "the share of pixels whose class was found",
    },
    Facts {
        metric: Metric::Sensitivity,
        name: "sensitivity",
        title: "sensitivity",
        unit: Unit::Share,
        subject: Subject::Class,
        source: Source::Counts,
        definition: "TP / (TP + FN), also known as recall; undefined where the truth has no pixel of the class",
    },
    Facts {
        metric: Metric::Specificity,
        name: "specificity",
        title: "specificity",
        unit: Unit::Share,
        subject: Subject::Class,
        source: Source::Counts,
        definition: "TN / (TN + FP); undefined where the truth has no pixel of another class",
    },
    Facts {
        metric: Metric::Precision,
        name: "precision",
        title: "precision",
        unit: Unit::Share,
        subject: Subject::Class,
        source: Source::Counts,
        definition: "TP / (TP + FP); undefined where no pixel was predicted as the class",
    },
    Facts {
        metric: Metric::SurfaceDice,
        name: "surface_dice",
        title: "surface Dice",
        unit: Unit::Share,
        subject: Subject::Class,
        source: Source::Shape,
        definition: "the share of both surfaces' pixels within {tolerance} px of the other surface (normalised surface \
                     Dice, Nikolov et al. 2018, pixels counted)",
    },
    Facts {
        metric: Metric::BoundaryF1,
        name: "boundary_f1",
        title: "boundary F1",
        unit: Unit::Share,
        subject: Subject::Class,
        source: Source::Shape,
        definition: "the harmonic mean of the shares of either surface's pixels within {tolerance} px of the other \
                     surface (Csurka et al. 2013)",
    },
    Facts {
        metric: Metric::CenterlineDice,
        name: "centerline_dice",
        title: "clDice",
        unit: Unit::Share,
        subject: Subject::Class,
        source: Source::Shape,
        definition: "the harmonic mean of the share of the predicted skeleton in the true mask and of the true skeleton \
                     in the predicted mask (Shit et al. 2021); skeletons by Zhang and Suen 1984 as in scikit-image's \
                     `skeletonize`",
    },
    Facts {
        metric: Metric::Hausdorff,
        name: "hausdorff",
        title: "HD [px]",
        unit: Unit::Pixels,
        subject: Subject::Class,
        source: Source::Shape,
        definition: "the largest distance of a surface pixel to the other surface, of both directions",
    },
    Facts {
        metric: Metric::Hausdorff95,
        name: "hausdorff95",
        title: "HD95 [px]",
        unit: Unit::Pixels,
        subject: Subject::Class,
        source: Source::Shape,
        definition: "the larger of the 95th percentiles, interpolated linearly, of the two directed surface distances",
    },
    Facts {
        metric: Metric::AverageSurfaceDistance,
        name: "average_surface_distance",
        title: "ASSD [px]",
        unit: Unit::Pixels,
        subject: Subject::Class,
        source: Source::Shape,
        definition: "the mean distance of both surfaces' pixels to the other surface (ASSD)",
    },
    Facts {
        metric: Metric::SurfaceDiceMm,
        name: "surface_dice_mm",
        title: "surface Dice in mm",
        unit: Unit::Share,
        subject: Subject::Class,
        source: Source::SizedShape,
        definition: "the share of both surfaces' pixels within {tolerance_mm} mm of the other surface, in images that name \
                     the size of a pixel",
    },
    Facts {
        metric: Metric::HausdorffMm,
        name: "hausdorff_mm",
        title: "HD [mm]",
        unit: Unit::Millimetres,
        subject: Subject::Class,
        source: Source::SizedShape,
        definition: "the largest distance of a surface pixel to the other surface, of both directions, in images that name \
                     the size of a pixel",
    },
    Facts {
        metric: Metric::Hausdorff95Mm,
        name: "hausdorff95_mm",
        title: "HD95 [mm]",
        unit: Unit::Millimetres,
        subject: Subject::Class,
        source: Source::SizedShape,
        definition: "the larger of the 95th percentiles, interpolated linearly, of the two directed surface distances, in \
                     images that name the size of a pixel",
    },
    Facts {
        metric: Metric::AverageSurfaceDistanceMm,
        name: "average_surface_distance_mm",
        title: "ASSD [mm]",
        unit: Unit::Millimetres,
        subject: Subject::Class,
        source: Source::SizedShape,
        definition: "the mean distance of both surfaces' pixels to the other surface, in images that name the size of a pixel",
    },
];

impl Metric {
    /// All metrics, in the order in which tables show them.
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::Dice; TABLE.len()];
        let mut index = 0;
        while index < TABLE.len() {
            all[index] = TABLE[index].metric;
            index += 1;
        }
        all
    };

    fn facts(self) -> &'static Facts {
        TABLE.iter().find(|facts| facts.metric == self).expect("each metric has a row in the table")
    }

    /// Returns the title in tables, with the unit.
    pub fn title(self) -> &'static str {
        self.facts().title
    }

    /// Returns the name in files.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Returns true if the metric is measured of one class, false if of all classes at once.
    pub fn is_of_a_class(self) -> bool {
        self.facts().subject == Subject::Class
    }

    /// Returns true for a distance in pixels or millimetres, of which smaller is better; false for
    /// a share, of which larger is better.
    pub fn is_distance(self) -> bool {
        self.facts().unit != Unit::Share
    }

    /// Returns true if the metric is measured only in images whose pixels have a known size.
    pub fn needs_spacing(self) -> bool {
        self.facts().source == Source::SizedShape
    }

    /// Returns true if the metric follows from counts of pixels, and so can be computed over all
    /// images together.
    pub fn can_be_pooled(self) -> bool {
        self.facts().source == Source::Counts
    }

    /// Returns the definition in a sentence, with the tolerance of surfaces.
    pub fn definition(self, tolerance: Tolerance) -> String {
        let definition = self.facts().definition.replace("{tolerance}", &tolerance.px.to_string());
        definition.replace("{tolerance_mm}", &tolerance.mm.to_string())
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Returns the conventions that metrics of surfaces and centre lines share, in sentences.
pub fn definition_of_surfaces() -> &'static str {
    "A class's surface is its pixels with a pixel above, below, left or right of them that is not of the class. What lies \
     beyond the image's edge and ignored pixels are not of the class; distances are Euclidean, in pixels or, by the height \
     and width of a pixel, in mm, and go straight across them. Where a class is in neither mask, its distances are 0 and its shares 1; where it is in one of the two, \
     its distances are the image's diagonal and its shares 0, so that a missed class worsens every mean and no value is \
     infinite."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_one_row_and_names_of_its_own() {
        for metric in Metric::ALL {
            let count = |is_same: &dyn Fn(&Facts) -> bool| TABLE.iter().filter(|facts| is_same(facts)).count();
            assert_eq!(count(&|facts| facts.metric == metric), 1, "{metric:?}");
            assert_eq!(count(&|facts| facts.name == metric.name()), 1, "{metric:?}");
            assert_eq!(count(&|facts| facts.title == metric.title()), 1, "{metric:?}");
            let unit = if metric.needs_spacing() { "[mm]" } else { "[px]" };
            assert_eq!(metric.is_distance(), metric.title().ends_with(unit), "{metric:?}");
            assert_eq!(metric.needs_spacing(), metric.name().ends_with("_mm"), "{metric:?}");
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
        }
        let tolerance = Tolerance { px: 1.5, mm: 0.2 };
        assert!(Metric::SurfaceDice.definition(tolerance).contains("within 1.5 px"));
        assert!(Metric::SurfaceDiceMm.definition(tolerance).contains("within 0.2 mm"));
    }

    #[test]
    fn distances_and_pooled_metrics_are_the_usual_ones() {
        use Metric::{Accuracy, AverageSurfaceDistance, Dice, Hausdorff, Hausdorff95, Iou, MeanIou};
        use Metric::{AverageSurfaceDistanceMm, Hausdorff95Mm, HausdorffMm, Precision, Sensitivity, Specificity};
        let those = |is: fn(Metric) -> bool| Metric::ALL.into_iter().filter(|metric| is(*metric)).collect::<Vec<_>>();
        let in_pixels = [Hausdorff, Hausdorff95, AverageSurfaceDistance];
        let in_mm = [HausdorffMm, Hausdorff95Mm, AverageSurfaceDistanceMm];
        assert_eq!(those(Metric::is_distance), [in_pixels, in_mm].concat());
        let counts = [Dice, Iou, MeanIou, Accuracy, Sensitivity, Specificity, Precision];
        assert_eq!(those(Metric::can_be_pooled), counts);
    }
}
