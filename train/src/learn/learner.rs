//! The network in training, with what moves it: on one device, or on several that share each batch.

use std::thread;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use seg_nets::gradients::Gradients;
use seg_nets::network::Network;
use seg_nets::precision::Precision;
use seg_nets::recompute;
use seg_nets::statistics::{Estimate, with_fixed_statistics};

use crate::data::batch::Batch;
use crate::learn::average::Average;
use crate::learn::loss::{Loss, Objective, distances};
use crate::learn::optimizer::Optimizer;
use crate::run::config::TrainingConfig;

/// The norm that gradients are scaled down to with fixed statistics, unless one is chosen: about
/// that of the gradients of most steps.
///
/// The maps of some views lie far from the statistics, and a network that multiplies maps with each
/// other makes of that a loss of 1e20. One step by its gradients would undo what was learned.
const CLIP_NORM_FIXED: f64 = 1.0;

/// The network in training.
///
/// With several devices each holds a replica, as in PyTorch's `DistributedDataParallel`: a batch is
/// divided among them, each normalises by its own part's statistics, the gradients are averaged by
/// the parts' images on the first device, which takes the step and whose running statistics are the
/// network's.
pub struct Learner {
    /// A replica per device; the first is the network.
    nets: Vec<Network>,
    /// With autodiff, as many as there are replicas.
    devices: Vec<Device>,
    training: TrainingConfig,
    objective: Objective,
    optimizer: Optimizer,
    average: Option<Average>,
    /// The gradients of the step's batches so far.
    gradients: Option<Gradients>,
    /// True if BatchNorm's running statistics are used and stay as they are.
    has_fixed_statistics: bool,
}

impl Learner {
    /// Creates the learner of a network that lies on the first device with autodiff.
    ///
    /// # Panics
    /// When there is no device.
    pub fn new(
        net: Network,
        devices: &[Device],
        training: TrainingConfig,
        optimizer: Optimizer,
        average: Option<Average>,
    ) -> Self {
        assert!(!devices.is_empty(), "a learner needs a device");
        let devices: Vec<_> = devices.iter().map(|device| device.clone().autodiff()).collect();
        Self {
            nets: replicate(net, &devices),
            devices,
            training,
            objective: Objective { terms: training.loss, class_weights: None },
            optimizer,
            average,
            gradients: None,
            has_fixed_statistics: false,
        }
    }

    /// Weights the classes in the loss's term of pixels.
    pub fn with_class_weights(mut self, weights: Option<Vec<f32>>) -> Self {
        self.objective.class_weights = weights;
        self
    }

    /// Returns the network that is being trained, without autodiff.
    pub fn net(&self) -> Network {
        self.nets[0].valid()
    }

    /// Returns the network to use: the average if one is kept, else the trained network.
    pub fn best_net(&self) -> Network {
        self.average.as_ref().map_or_else(|| self.net(), |average| average.net().clone())
    }

    /// Returns the moving average, if one is kept.
    pub fn average(&self) -> Option<&Average> {
        self.average.as_ref()
    }

    /// Returns the optimizer.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Adds a batch's gradients to the step, and returns its loss and the loss's two terms.
    ///
    /// `share` is that of the batch's images in all of the step's: 1 where a step has one batch.
    pub fn learn(&mut self, batch: Batch, share: f64) -> [f64; 3] {
        let images = batch.names.len() as f64;
        let parts = batch.split(self.nets.len());
        let shares: Vec<_> = parts.iter().map(|part| part.names.len() as f64 / images).collect();
        let (training, objective, is_fixed) = (&self.training, &self.objective, self.has_fixed_statistics);
        let backward = |net: &Network, device: &Device, part: Batch, part_share: f64| {
            let work = || backward(net, device, training, objective, part, share * part_share);
            if is_fixed { with_fixed_statistics(work) } else { work() }
        };
        let found: Vec<_> = thread::scope(|scope| {
            let mut work = self.nets.iter().zip(&self.devices).zip(parts).zip(&shares);
            // The first part stays on this thread, the only one where there is one device.
            let first = work.next();
            let others: Vec<_> = work
                .map(|(((net, device), part), part_share)| {
                    scope.spawn(move || backward(net, device, part, *part_share))
                })
                .collect();
            let first = first.map(|(((net, device), part), part_share)| backward(net, device, part, *part_share));
            let others =
                others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            first.into_iter().chain(others).collect()
        });
        let mut sums = [0.0; 3];
        for ((losses, gradients), share) in found.into_iter().zip(shares) {
            sums = std::array::from_fn(|term| sums[term] + share * losses[term]);
            self.gather(gradients);
        }
        sums
    }

    fn gather(&mut self, gradients: Gradients) {
        self.gradients = Some(match self.gradients.take() {
            Some(sum) => sum.plus(gradients.to_device(&self.home())),
            None => gradients,
        });
    }

    /// Moves the weights by the gradients of the batches since the last step, and returns the
    /// gradients' norm where they are clipped. A norm that is not finite moves nothing.
    pub fn step(&mut self, rate: f64) -> Option<f64> {
        let mut gradients = self.gradients.take().unwrap_or_default();
        let mut norm = None;
        if let Some(max) = self.clip_norm() {
            let (clipped, found) = gradients.clip(max);
            (gradients, norm) = (clipped, Some(found));
            if !found.is_finite() {
                return norm;
            }
        }
        // Taken out and not cloned, so that its tensors are changed in place.
        let net = self.optimizer.step(rate, self.nets.swap_remove(0), gradients);
        if let Some(average) = &mut self.average {
            average.follow(&net.valid());
        }
        self.nets = replicate(net, &self.devices);
        norm
    }

    /// Drops the gradients of the batches since the last step.
    pub fn leave_out(&mut self) {
        self.gradients = None;
    }

    /// Returns the norm that gradients are scaled down to.
    fn clip_norm(&self) -> Option<f64> {
        self.training.clip_norm.or(self.has_fixed_statistics.then_some(CLIP_NORM_FIXED))
    }

    /// Replaces the running statistics of the network, and of its average, by those of batches
    /// together.
    pub fn estimate_statistics<E>(&mut self, batches: impl Iterator<Item = Result<Batch, E>>) -> Result<(), E> {
        let [mut of_net, mut of_average] = [Estimate::default(), Estimate::default()];
        // Their statistics change while batches are seen. The network's are a copy, and making it
        // merges what the last step has tracked.
        let net = self.net();
        let average = self.average.as_ref().map(|average| average.net().clone());
        for batch in batches {
            let (images, _) = batch?.to_device(&self.home());
            let images = images.cast(self.training.precision.dtype());
            if let Some(average) = &average {
                of_average.add(average, images.clone());
            }
            of_net.add(&net, images);
        }
        let net = of_net.apply(self.nets.swap_remove(0));
        self.nets = replicate(net, &self.devices);
        if let Some(average) = &mut self.average {
            average.estimate(&of_average);
        }
        Ok(())
    }

    /// Uses the running statistics from now on in training too, as they are.
    pub fn fix_statistics(&mut self) {
        self.has_fixed_statistics = true;
    }

    /// Returns the first device, without autodiff.
    fn home(&self) -> Device {
        self.devices[0].clone().inner()
    }
}

/// Returns the network with its replicas on all devices but the first.
fn replicate(net: Network, devices: &[Device]) -> Vec<Network> {
    // `valid` gives a replica running statistics of its own; a mere clone would share them.
    let replica = |device: &Device| net.valid().to_device(&device.clone().inner()).train();
    let replicas: Vec<_> = devices[1..].iter().map(replica).collect();
    std::iter::once(net).chain(replicas).collect()
}

/// Computes the loss of a batch and its two terms, and the gradients of `share` of the loss. Where
/// a network has several heads, the loss is the mean of theirs.
fn backward(
    net: &Network,
    device: &Device,
    training: &TrainingConfig,
    objective: &Objective,
    batch: Batch,
    share: f64,
) -> ([f64; 3], Gradients) {
    let classes = net.config().num_classes();
    let maps = objective.needs_distances().then(|| Tensor::from_data(distances(&batch.labels, classes), device));
    let (images, labels) = batch.to_device(device);
    let images = images.cast(training.precision.dtype());
    let (mut heads, mut terms) = (0_u16, Vec::new());
    let of_head = |logits: Tensor<4>| {
        let logits = logits.cast(Precision::Fp32.dtype());
        let Loss { total, cross_entropy, dice } = objective.loss(logits, labels.clone(), maps.clone());
        terms.extend([total.clone(), cross_entropy, dice].map(Tensor::inner));
        heads += 1;
        total.mul_scalar(share)
    };
    let gradients = if training.checkpoint_activations {
        recompute::gradients(net, images, of_head)
    } else {
        Gradients::from_loss(&mean(net.forward_supervised(images).into_iter().map(of_head)), net)
    };
    let terms: Vec<_> = Tensor::cat(terms, 0).into_data().iter::<f64>().collect();
    let of_heads = |term: usize| terms.iter().skip(term).step_by(3).sum::<f64>() / f64::from(heads);
    (std::array::from_fn(of_heads), gradients)
}

/// Returns the mean of numbers, each of shape `[1]`.
fn mean(numbers: impl ExactSizeIterator<Item = Tensor<1>>) -> Tensor<1> {
    let count = numbers.len();
    let sum = numbers.reduce(|sum, number| sum + number).expect("a network has a head");
    if count == 1 { sum } else { sum.div_scalar(count as f64) }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use burn::tensor::TensorData;
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::weights::Weights;

    use super::*;

    /// Images that differ, with a pixel in eight ignored.
    fn batch(images: usize) -> Batch {
        const SIDE: usize = 16;
        let pixels = images * SIDE * SIDE;
        let wave = |index: usize| (index as f32 * 0.7).sin() + (index / (3 * SIDE * SIDE)) as f32 * 0.3;
        let label = |index: usize| if index % 8 == 3 { 255 } else { i32::from(index % 5 < 2) };
        Batch {
            images: TensorData::new((0..3 * pixels).map(wave).collect(), [images, 3, SIDE, SIDE]),
            labels: TensorData::new((0..pixels).map(label).collect::<Vec<_>>(), [images, SIDE, SIDE]),
            names: (0..images).map(|image| image.to_string()).collect(),
        }
    }

    /// Random once for all tests; they share the device's generator, so that a seed would not make
    /// them the same.
    static WEIGHTS: LazyLock<Weights> =
        LazyLock::new(|| Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex())));

    fn learner(devices: usize, clip_norm: Option<f64>) -> Learner {
        learner_by(TrainingConfig { clip_norm, ..TrainingConfig::default() }, devices)
    }

    fn learner_by(training: TrainingConfig, devices: usize) -> Learner {
        let net = WEIGHTS.to_network(&Device::flex().autodiff()).unwrap();
        Learner::new(net, &vec![Device::flex(); devices], training, Optimizer::new(5e-5), None)
    }

    /// Computes the gradients of one batch, and its losses.
    fn alone(batch: Batch) -> ([f64; 3], Gradients) {
        let mut learner = learner(1, None);
        (learner.learn(batch, 1.0), learner.gradients.unwrap())
    }

    fn values(gradients: &Gradients) -> Vec<(String, Vec<f32>)> {
        let values = |gradient: &Tensor<1>| gradient.to_data().try_into_vec::<f32>().unwrap();
        gradients.tensors().iter().map(|(name, gradient)| (name.clone(), values(gradient))).collect()
    }

    /// Averages the gradients of a batch's parts, weighted by their images.
    fn mean_of_parts(parts: Vec<Batch>) -> ([f64; 3], Gradients) {
        let images: usize = parts.iter().map(|part| part.names.len()).sum();
        let (mut losses, mut gradients) = ([0.0; 3], Gradients::default());
        for part in parts {
            let share = part.names.len() as f64 / images as f64;
            let mut learner = learner(1, None);
            let own = learner.learn(part, share);
            losses = std::array::from_fn(|term| losses[term] + share * own[term]);
            gradients = gradients.plus(learner.gradients.unwrap());
        }
        (losses, gradients)
    }

    #[test]
    fn a_step_averages_its_parts_by_their_images() {
        // Three images on two devices are parts of one and two.
        for (name, devices, batches) in [
            ("two devices", 2, vec![batch(4)]),
            ("two devices, uneven", 2, vec![batch(3)]),
            ("three devices, fewer images", 3, vec![batch(2)]),
            ("two batches", 1, vec![batch(2), batch(1)]),
            ("two batches on two devices", 2, vec![batch(4), batch(2)]),
        ] {
            let images: usize = batches.iter().map(|batch| batch.names.len()).sum();
            let parts = batches.iter().flat_map(|batch| batch.clone().split(devices)).collect();
            let (expected_losses, expected) = mean_of_parts(parts);
            let mut learner = learner(devices, None);
            let mut losses = [0.0; 3];
            for batch in batches {
                let share = batch.names.len() as f64 / images as f64;
                let own = learner.learn(batch, share);
                losses = std::array::from_fn(|term| losses[term] + share * own[term]);
            }
            for (found, expected) in losses.into_iter().zip(expected_losses) {
                assert!((found - expected).abs() < 1e-12, "{name}: loss {found}, not {expected}");
            }
            assert_eq!(values(&learner.gradients.unwrap()), values(&expected), "{name}");
        }
    }

    #[test]
    fn a_gradient_with_a_share_is_that_part_of_the_whole() {
        let (losses, whole) = alone(batch(2));
        let mut learner = learner(1, None);
        assert_eq!(learner.learn(batch(2), 0.25), losses, "the loss is not scaled");
        for ((name, whole), (_, quarter)) in values(&whole).into_iter().zip(values(&learner.gradients.unwrap())) {
            assert_eq!(whole.iter().map(|value| value / 4.0).collect::<Vec<_>>(), quarter, "{name}");
        }
    }

    fn twice(data: &TensorData, shape: Vec<usize>) -> TensorData {
        let values: Vec<f32> = data.iter::<f32>().collect();
        TensorData::new([values.clone(), values].concat(), shape)
    }

    #[test]
    fn replicas_learn_as_one_network() {
        // Halves that are equal have equal statistics, so that two devices must take the step of
        // one.
        let half = batch(1);
        let labels: Vec<i32> = half.labels.iter::<i32>().collect();
        let whole = Batch {
            images: twice(&half.images, vec![2, 3, 16, 16]),
            labels: TensorData::new([labels.clone(), labels].concat(), [2, 16, 16]),
            names: vec!["a".into(), "b".into()],
        };
        let (mut one, mut two) = (learner(1, Some(0.5)), learner(2, Some(0.5)));
        for step in 0..3 {
            one.learn(half.clone(), 1.0);
            two.learn(whole.clone(), 1.0);
            assert_eq!(one.step(1e-2), two.step(1e-2), "norm of step {step}");
            assert_eq!(Weights::from_network(&one.net()), Weights::from_network(&two.net()), "step {step}");
            assert_eq!(
                Weights::from_network(&two.nets[1].valid()),
                Weights::from_network(&two.net()),
                "replica after step {step}"
            );
        }
        assert_ne!(Weights::from_network(&one.net()), *WEIGHTS, "nothing was learned");
    }

    #[test]
    fn a_network_learns_in_16_bits_as_it_does_in_32() {
        let losses = |precision: Precision| -> Vec<f64> {
            let training = TrainingConfig { precision, clip_norm: Some(1.0), ..TrainingConfig::default() };
            let mut learner = learner_by(training, 2);
            let steps = (0..10).map(|_| {
                let [loss, ..] = learner.learn(batch(4), 1.0);
                learner.step(2e-3);
                loss
            });
            steps.collect()
        };
        let [exact, found] = [Precision::Fp32, Precision::Bf16].map(losses);
        assert_ne!(found[0], exact[0], "nothing was rounded");
        for (step, (found, exact)) in found.iter().zip(&exact).enumerate() {
            assert!((found - exact).abs() < 0.02 * exact, "step {step}: loss {found}, in float32 {exact}");
        }
        let learned = |losses: &[f64]| losses[0] - losses[losses.len() - 1];
        assert!(learned(&found) > 0.5 * learned(&exact), "{found:?} beside {exact:?}");
    }

    #[test]
    fn with_fixed_statistics_gradients_are_clipped_and_not_finite_ones_move_nothing() {
        let mut learner = learner(1, None);
        learner.learn(batch(2), 1.0);
        assert_eq!(learner.step(1e-3), None, "the batch's own statistics");
        learner.fix_statistics();
        learner.learn(batch(2), 1.0);
        assert!(learner.step(1e-3).is_some_and(f64::is_finite));
        let before = Weights::from_network(&learner.net());

        let mut far = batch(2);
        far.images = TensorData::new(vec![f32::MAX; far.images.num_elements()], far.images.shape());
        let [loss, ..] = learner.learn(far, 1.0);
        assert!(!loss.is_finite(), "the loss is {loss}");
        assert!(learner.step(1e-3).is_some_and(|norm| !norm.is_finite()));
        assert_eq!(Weights::from_network(&learner.net()), before);

        // What was left out has no part in the next step.
        learner.learn(batch(2), 1.0);
        assert!(learner.step(1e-3).is_some_and(f64::is_finite));
        assert_ne!(Weights::from_network(&learner.net()), before);
    }

    #[test]
    fn a_step_without_batches_moves_nothing() {
        let mut learner = learner(1, Some(1.0));
        assert_eq!(learner.step(1.0), Some(0.0));
        assert_eq!(Weights::from_network(&learner.net()), *WEIGHTS);
    }
}
