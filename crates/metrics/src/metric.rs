//! The metrics by name, each with its definition.

use serde::Serialize;

/// A metric of masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// `2 TP / (2 TP + FP + FN)`.
    Dice,
    /// `TP / (TP + FP + FN)`.
    Iou,
    /// The mean IoU over all classes, the background among them; of no single class.
    MeanIou,
    /// The share of pixels whose class was found; of no single class.
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
}

impl Metric {
    /// All metrics, in the order in which tables show them.
    pub const ALL: [Self; 13] = [
        Self::Dice,
        Self::Iou,
        Self::MeanIou,
        Self::Accuracy,
        Self::Sensitivity,
        Self::Specificity,
        Self::Precision,
        Self::SurfaceDice,
        Self::BoundaryF1,
        Self::CenterlineDice,
        Self::Hausdorff,
        Self::Hausdorff95,
        Self::AverageSurfaceDistance,
    ];

    /// What tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Dice => "Dice",
            Self::Iou => "IoU",
            Self::MeanIou => "mean IoU",
            Self::Accuracy => "accuracy",
            Self::Sensitivity => "sensitivity",
            Self::Specificity => "specificity",
            Self::Precision => "precision",
            Self::SurfaceDice => "surface Dice",
            Self::BoundaryF1 => "boundary F1",
            Self::CenterlineDice => "clDice",
            Self::Hausdorff => "HD [px]",
            Self::Hausdorff95 => "HD95 [px]",
            Self::AverageSurfaceDistance => "ASSD [px]",
        }
    }

    /// The name under which files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dice => "dice",
            Self::Iou => "iou",
            Self::MeanIou => "mean_iou",
            Self::Accuracy => "accuracy",
            Self::Sensitivity => "sensitivity",
            Self::Specificity => "specificity",
            Self::Precision => "precision",
            Self::SurfaceDice => "surface_dice",
            Self::BoundaryF1 => "boundary_f1",
            Self::CenterlineDice => "centerline_dice",
            Self::Hausdorff => "hausdorff",
            Self::Hausdorff95 => "hausdorff95",
            Self::AverageSurfaceDistance => "average_surface_distance",
        }
    }

    /// Whether it is measured of a class; the others are measured of all classes at once.
    pub fn is_of_a_class(self) -> bool {
        !matches!(self, Self::MeanIou | Self::Accuracy)
    }

    /// Whether it is in pixels, and the less the better; the others are shares, and the more the better.
    pub fn is_distance(self) -> bool {
        self >= Self::Hausdorff
    }

    /// Whether it can be computed from counts of pixels, and so over all images together.
    pub fn can_be_pooled(self) -> bool {
        self <= Self::Precision
    }

    /// Its definition in a sentence, with the tolerance of surfaces in pixels.
    pub fn definition(self, tolerance_px: f64) -> String {
        match self {
            Self::Dice => "2 TP / (2 TP + FP + FN), pixels counted; 1 where the class is in neither mask".into(),
            Self::Iou => "TP / (TP + FP + FN), pixels counted; 1 where the class is in neither mask".into(),
            Self::MeanIou => "the mean IoU over all classes, the background among them".into(),
            Self::Accuracy => "the share of pixels whose class was found".into(),
            Self::Sensitivity => {
                "TP / (TP + FN), also known as recall; undefined where the truth has no pixel of the class".into()
            }
            Self::Specificity => "TN / (TN + FP); undefined where the truth has no pixel of another class".into(),
            Self::Precision => "TP / (TP + FP); undefined where no pixel was predicted as the class".into(),
            Self::SurfaceDice => format!(
                "the share of both surfaces' pixels within {tolerance_px} px of the other surface (normalised surface \
                 Dice, Nikolov et al. 2018, pixels counted)"
            ),
            Self::BoundaryF1 => format!(
                "the harmonic mean of the shares of either surface's pixels within {tolerance_px} px of the other \
                 surface (Csurka et al. 2013)"
            ),
            Self::CenterlineDice => "the harmonic mean of the share of the predicted skeleton in the true mask and of \
                                     the true skeleton in the predicted mask (Shit et al. 2021); skeletons by Zhang and \
                                     Suen 1984 as in scikit-image's `skeletonize`"
                .into(),
            Self::Hausdorff => {
                "the largest distance of a surface pixel to the other surface, of both directions".into()
            }
            Self::Hausdorff95 => {
                "the larger of the 95th percentiles, interpolated linearly, of the two directed surface distances".into()
            }
            Self::AverageSurfaceDistance => {
                "the mean distance of both surfaces' pixels to the other surface (ASSD)".into()
            }
        }
    }
}

/// What the metrics of surfaces and centre lines have in common, in sentences.
pub fn definition_of_surfaces() -> &'static str {
    "A class's surface is its pixels with a pixel above, below, left or right of them that is not of the class. What lies \
     beyond the image's edge and ignored pixels are not of the class; distances are Euclidean in pixels and go straight \
     across them. Where a class is in neither mask, its distances are 0 and its shares 1; where it is in one of the two, \
     its distances are the image's diagonal and its shares 0, so that a missed class worsens every mean and no value is \
     infinite."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_listed_in_order_and_has_one_name() {
        assert!(Metric::ALL.is_sorted());
        for metric in Metric::ALL {
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
            assert_eq!(metric.is_distance(), metric.title().ends_with("[px]"));
        }
        assert!(Metric::SurfaceDice.definition(1.5).contains("within 1.5 px"));
    }
}
