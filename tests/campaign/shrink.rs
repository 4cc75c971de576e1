//! Shrinking: which of the faults of a failing life are needed for it to fail.

/// The least of `count` things that still fail together, found by delta debugging (Zeller and
/// Hildebrandt, 2002): leaving out any single one of them makes the failure go away. `fails` is
/// asked with places in rising order.
pub fn shrink(count: usize, mut fails: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..count).collect();
    let mut parts = 2;
    while kept.len() >= 2 {
        let size = kept.len().div_ceil(parts);
        let without = |part: &[usize]| -> Vec<usize> {
            kept.iter().copied().filter(|place| !part.contains(place)).collect()
        };
        // Some part alone, or all but some part.
        let alone = kept.chunks(size).map(<[usize]>::to_vec);
        let rest = kept.chunks(size).map(without);
        let smaller = alone.chain(rest).find(|places| places.len() < kept.len() && fails(places));
        match smaller {
            Some(places) => {
                parts = if places.len() <= size { 2 } else { (parts - 1).max(2) };
                kept = places;
            }
            None if size == 1 => break,
            None => parts = (2 * parts).min(kept.len()),
        }
    }
    if kept.len() == 1 && fails(&[]) { Vec::new() } else { kept }
}

#[cfg(test)]
mod tests {
    use super::shrink;

    #[test]
    fn what_is_kept_is_what_the_failure_needs() {
        for needed in [vec![], vec![0], vec![99], vec![3, 17], vec![5, 6, 50, 98]] {
            let mut asked = 0;
            let kept = shrink(100, |places| {
                asked += 1;
                assert!(places.is_sorted());
                needed.iter().all(|need| places.contains(need))
            });
            assert_eq!(kept, needed);
            assert!(asked < 200, "{asked} lives for {needed:?}");
        }
    }

    #[test]
    fn a_failure_that_several_causes_share_keeps_one_of_them() {
        let kept = shrink(40, |places| places.iter().any(|place| place % 7 == 3));
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0] % 7, 3);
    }
}
