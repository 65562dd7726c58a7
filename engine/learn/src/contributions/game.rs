//! Which sets of players are asked for, and how what they are worth is shared out.

use super::Options;
use crate::rng::Rng;

/// The fewest pairs of an order and its reverse: with fewer, the standard errors are guesswork.
const MIN_PAIRS: usize = 4;

/// Sets of players, by number.
pub(super) enum Sets {
    /// All of them: a set's number has a bit for each player.
    All {
        /// Players.
        n: usize,
    },
    /// The empty one, the full one, and those that grow along orders and their reverses.
    Drawn {
        /// Players, at least 2.
        n: usize,
        /// The players' order, of each pair.
        orders: Vec<Vec<u32>>,
        /// Each player's place in it.
        places: Vec<Vec<u32>>,
    },
}

/// What each player gets.
pub(super) struct Shares {
    pub(super) means: Vec<f64>,
    /// Standard errors, where sets were drawn.
    pub(super) errors: Option<Vec<f64>>,
}

impl Sets {
    /// All sets where there are not more than rows to ask for, drawn ones otherwise.
    pub(super) fn new(n: usize, options: Options) -> Self {
        let is_countable = u32::try_from(n).ok().and_then(|n| 1_usize.checked_shl(n)).is_some_and(|n_sets| {
            // Two players are always counted: drawing them would ask for the same sets again and again.
            n_sets <= options.n_model_rows.max(4) && n < 24
        });
        if is_countable {
            return Self::All { n };
        }
        // Empty and full set are common to all orders.
        let n_pairs = (options.n_model_rows.saturating_sub(2) / (2 * (n - 1))).max(MIN_PAIRS);
        let mut orders = Vec::with_capacity(n_pairs);
        let mut places = Vec::with_capacity(n_pairs);
        for pair in 0..n_pairs {
            // The number of columns is bounded far below.
            let mut order: Vec<u32> = (0..n as u32).collect();
            Rng::new(&[options.seed, pair as u64]).shuffle(&mut order);
            let mut place = vec![0; n];
            for (at, &player) in order.iter().enumerate() {
                place[player as usize] = at as u32;
            }
            orders.push(order);
            places.push(place);
        }
        Self::Drawn { n, orders, places }
    }

    /// Number of sets.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::All { n } => 1 << n,
            Self::Drawn { n, orders, .. } => 2 + orders.len() * 2 * (n - 1),
        }
    }

    /// Whether a player is in a set.
    pub(super) fn holds(&self, set: usize, player: usize) -> bool {
        match self {
            Self::All { .. } => (set >> player) & 1 == 1,
            Self::Drawn { n, places, .. } => match set.checked_sub(2) {
                None => set == 1,
                Some(at) => {
                    let (order, n_in) = (at / (n - 1), at % (n - 1) + 1);
                    let place = places[order / 2][player] as usize;
                    if order % 2 == 0 { place < n_in } else { n - 1 - place < n_in }
                }
            },
        }
    }

    /// What the empty set is worth.
    pub(super) fn empty(&self, worths: &[f64]) -> f64 {
        worths[0]
    }

    /// What the full set is worth.
    pub(super) fn full(&self, worths: &[f64]) -> f64 {
        match self {
            Self::All { .. } => worths[worths.len() - 1],
            Self::Drawn { .. } => worths[1],
        }
    }

    /// Shares out the difference between the full set and the empty one. `worths` holds what each set is worth.
    pub(super) fn shares(&self, worths: &[f64]) -> Shares {
        match self {
            Self::All { n } => Shares { means: counted(*n, worths), errors: None },
            Self::Drawn { n, orders, .. } => drawn(*n, orders, worths),
        }
    }
}

/// Shapley's formula: `Σ |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S))` over the sets `S` without `i`.
fn counted(n: usize, worths: &[f64]) -> Vec<f64> {
    // |S|! (n − |S| − 1)! / n! is 1 / (n · C(n − 1, |S|)).
    let mut weights = Vec::with_capacity(n);
    let mut choices = 1.0;
    for size in 0..n {
        weights.push(1.0 / (n as f64 * choices));
        choices = choices * (n - 1 - size) as f64 / (size + 1) as f64;
    }
    let share = |player: usize| {
        let without = (0..worths.len()).filter(|set| (set >> player) & 1 == 0);
        without.map(|set| weights[set.count_ones() as usize] * (worths[set | (1 << player)] - worths[set])).sum()
    };
    (0..n).map(share).collect()
}

/// The mean over the orders of what a player adds where it stands.
fn drawn(n: usize, orders: &[Vec<u32>], worths: &[f64]) -> Shares {
    let n_pairs = orders.len() as f64;
    let (mut sums, mut squares) = (vec![0.0; n], vec![0.0; n]);
    let mut both = vec![0.0; n];
    for (pair, order) in orders.iter().enumerate() {
        both.fill(0.0);
        for direction in 0..2 {
            let first = 2 + (pair * 2 + direction) * (n - 1);
            let mut before = worths[0];
            for at in 0..n {
                let after = if at + 1 == n { worths[1] } else { worths[first + at] };
                let place = if direction == 0 { at } else { n - 1 - at };
                both[order[place] as usize] += (after - before) / 2.0;
                before = after;
            }
        }
        for (player, both) in both.iter().enumerate() {
            sums[player] += both;
            squares[player] += both * both;
        }
    }
    let means: Vec<f64> = sums.iter().map(|sum| sum / n_pairs).collect();
    let error = |(mean, square): (&f64, &f64)| {
        // Rounding may take the difference below zero.
        let variance = ((square - n_pairs * mean * mean) / (n_pairs - 1.0)).max(0.0);
        (variance / n_pairs).sqrt()
    };
    let errors = means.iter().zip(&squares).map(error).collect();
    Shares { means, errors: Some(errors) }
}
