//! Places for nodes: layers from left to right, each node near what it is linked to.

use std::collections::HashMap;

use athanor_protocol::{check::order, workflow::Workflow};

/// Room between layers.
const GAP_X: f32 = 72.0;
/// Room between nodes of a layer.
const GAP_Y: f32 = 28.0;
/// How often a layer's order and places are mended.
const SWEEPS: usize = 6;

/// The upper left corner of every node, in document order. `sizes` are the nodes' sizes in the same order.
pub fn layout(workflow: &Workflow, sizes: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let n = workflow.nodes.len();
    let index: HashMap<&str, usize> =
        workflow.nodes.iter().enumerate().map(|(at, node)| (node.id.as_str(), at)).collect();
    let (mut before, mut after) = (vec![vec![]; n], vec![vec![]; n]);
    for link in &workflow.links {
        if let (Some(&from), Some(&to)) = (index.get(link.from.node.as_str()), index.get(link.to.node.as_str()))
            && from != to
        {
            after[from].push(to);
            before[to].push(from);
        }
    }
    // Nodes in a circle keep the document's order: any place is as good as another until the circle is cut.
    let sorted = order(workflow).unwrap_or_else(|_| (0..n).collect());
    let mut place = vec![0usize; n];
    for (at, &node) in sorted.iter().enumerate() {
        place[node] = at;
    }
    let mut layer = vec![0usize; n];
    for &node in &sorted {
        for &next in &after[node] {
            if place[next] > place[node] {
                layer[next] = layer[next].max(layer[node] + 1);
            }
        }
    }
    // A node without anything before it stands close to what it feeds.
    for &node in sorted.iter().rev() {
        if before[node].is_empty()
            && let Some(next) = after[node].iter().map(|&next| layer[next]).min()
        {
            layer[node] = layer[node].max(next.saturating_sub(1));
        }
    }
    let mut spots = vec![[0.0, 0.0]; n];
    let mut top = 0.0;
    for part in components(n, &before, &after) {
        let bottom = place_component(&part, &layer, &before, &after, sizes, top, &mut spots);
        top = bottom + GAP_Y * 2.0;
    }
    spots
}

fn components(n: usize, before: &[Vec<usize>], after: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut seen = vec![false; n];
    let mut parts = vec![];
    for start in 0..n {
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        let (mut part, mut todo) = (vec![], vec![start]);
        while let Some(node) = todo.pop() {
            part.push(node);
            for &near in before[node].iter().chain(&after[node]) {
                if !std::mem::replace(&mut seen[near], true) {
                    todo.push(near);
                }
            }
        }
        part.sort_unstable();
        parts.push(part);
    }
    parts
}

fn place_component(
    part: &[usize],
    layer: &[usize],
    before: &[Vec<usize>],
    after: &[Vec<usize>],
    sizes: &[[f32; 2]],
    top: f32,
    spots: &mut [[f32; 2]],
) -> f32 {
    let size = |node: usize| sizes.get(node).copied().unwrap_or([0.0, 0.0]);
    let n_layers = part.iter().map(|&node| layer[node] + 1).max().unwrap_or(0);
    let mut layers = vec![vec![]; n_layers];
    for &node in part {
        layers[layer[node]].push(node);
    }
    let mut x = 0.0;
    for nodes in &layers {
        let mut y = 0.0;
        for &node in nodes {
            spots[node] = [x, y];
            y += size(node)[1] + GAP_Y;
        }
        let widest = nodes.iter().map(|&node| size(node)[0]).fold(0.0, f32::max);
        if widest > 0.0 {
            x += widest + GAP_X;
        }
    }
    for sweep in 0..SWEEPS {
        for step in 0..n_layers {
            if sweep % 2 == 0 {
                settle(&mut layers[step], before, &size, spots);
            } else {
                settle(&mut layers[n_layers - 1 - step], after, &size, spots);
            }
        }
    }
    let least = part.iter().map(|&node| spots[node][1]).fold(f32::INFINITY, f32::min);
    let mut bottom = top;
    for &node in part {
        let y = (spots[node][1] - least + top).round();
        spots[node] = [spots[node][0].round(), y];
        bottom = bottom.max(y + size(node)[1]);
    }
    bottom
}

/// Orders a layer's nodes by the middle of their neighbours and puts them there as far as there is room.
fn settle(nodes: &mut [usize], near: &[Vec<usize>], size: &impl Fn(usize) -> [f32; 2], spots: &mut [[f32; 2]]) {
    let middle = |node: usize, spots: &[[f32; 2]]| spots[node][1] + size(node)[1] / 2.0;
    let mut wanted: Vec<(f32, usize)> = nodes
        .iter()
        .map(|&node| {
            let near = &near[node];
            let sum: f32 = near.iter().map(|&other| middle(other, spots)).sum();
            let want = if near.is_empty() { middle(node, spots) } else { sum / near.len() as f32 };
            (want, node)
        })
        .collect();
    wanted.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (slot, (_, node)) in nodes.iter_mut().zip(&wanted) {
        *slot = *node;
    }
    // Downwards with the least room, then the whole run back to where it wanted to be in the mean.
    let mut at = 0;
    while at < wanted.len() {
        let (want, node) = wanted[at];
        let mut y = want - size(node)[1] / 2.0;
        if at > 0 {
            let above = wanted[at - 1].1;
            y = y.max(spots[above][1] + size(above)[1] + GAP_Y);
        }
        spots[node][1] = y;
        at += 1;
    }
    let shift: f32 =
        wanted.iter().map(|&(want, node)| want - middle(node, spots)).sum::<f32>() / wanted.len().max(1) as f32;
    for &(_, node) in &wanted {
        spots[node][1] += shift;
    }
}

#[cfg(test)]
mod tests {
    use athanor_protocol::workflow::{Link, Node};

    use super::*;

    fn workflow(n: usize, links: &[(usize, usize)]) -> Workflow {
        let mut workflow = Workflow::empty("t");
        for at in 0..n {
            workflow.nodes.push(Node {
                id: format!("n{at}"),
                kind: "prepare.sort".to_owned(),
                title: String::new(),
                params: [].into(),
                position: None,
                note: String::new(),
            });
        }
        for (from, to) in links {
            let end = |at: &usize, port: &str| format!("n{at}.{port}").parse().unwrap();
            workflow.links.push(Link { from: end(from, "table"), to: end(to, "table") });
        }
        workflow
    }

    fn check(n: usize, links: &[(usize, usize)]) -> Vec<[f32; 2]> {
        let size = [200.0, 52.0];
        let spots = layout(&workflow(n, links), &vec![size; n]);
        assert_eq!(spots.len(), n);
        for (a, at) in spots.iter().enumerate() {
            assert!(at.iter().all(|value| value.is_finite()));
            for (b, other) in spots.iter().enumerate().skip(a + 1) {
                let apart = (at[0] - other[0]).abs() >= size[0] || (at[1] - other[1]).abs() >= size[1];
                assert!(apart, "{a} and {b} lie on each other: {at:?} {other:?}");
            }
        }
        spots
    }

    #[test]
    fn links_run_from_left_to_right_and_nothing_overlaps() {
        for links in [vec![], vec![(0, 1), (1, 2)], vec![(0, 2), (1, 2), (2, 3), (2, 4), (3, 5), (4, 5), (0, 5)]] {
            let spots = check(6, &links);
            for (from, to) in links {
                assert!(spots[from][0] < spots[to][0], "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_chain_is_a_straight_line() {
        let spots = check(4, &[(0, 1), (1, 2), (2, 3)]);
        assert!(spots.iter().all(|spot| spot[1] == spots[0][1]), "{spots:?}");
    }

    #[test]
    fn a_side_table_stands_close_to_the_join_that_it_feeds() {
        let spots = check(5, &[(0, 1), (1, 2), (2, 3), (4, 3)]);
        assert_eq!(spots[4][0], spots[2][0]);
    }

    #[test]
    fn circles_and_nothing_are_no_trouble() {
        check(0, &[]);
        check(3, &[(0, 1), (1, 2), (2, 0)]);
        check(1, &[(0, 0)]);
    }

    #[test]
    fn thousands_of_nodes_are_placed() {
        let links: Vec<(usize, usize)> = (1..10_000).map(|at| (at / 2, at)).collect();
        let workflow = workflow(10_000, &links);
        let spots = layout(&workflow, &vec![[200.0, 52.0]; 10_000]);
        assert!(spots.iter().flatten().all(|value| value.is_finite()));
    }
}
