//! Which of a level's slots are occupied.

/// A set of bytes.
#[derive(Debug, Default)]
pub(super) struct Bitmap([u64; 4]);

impl Bitmap {
    #[inline]
    pub(super) fn set(&mut self, slot: u8) {
        let (word, bit) = self.word(slot);
        *word |= bit;
    }

    #[inline]
    pub(super) fn clear(&mut self, slot: u8) {
        let (word, bit) = self.word(slot);
        *word &= !bit;
    }

    #[inline]
    pub(super) fn contains(&self, slot: u8) -> bool {
        self.0
            .get(usize::from(slot / 64))
            .is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// Returns the first member above `slot`.
    #[inline]
    pub(super) fn after(&self, slot: u8) -> Option<u8> {
        let [a, b, c, d] = self.0;
        // Two shifts, because a shift by 64 is none.
        let ahead = |word: u64| word & (u64::MAX << (slot % 64) << 1);
        let (base, word) = match slot / 64 {
            0 => first([(0, ahead(a)), (64, b), (128, c), (192, d)]),
            1 => first([(64, ahead(b)), (128, c), (192, d)]),
            2 => first([(128, ahead(c)), (192, d)]),
            _ => first([(192, ahead(d))]),
        }?;
        Some(base | u8::try_from(word.trailing_zeros()).expect("a bit of 64"))
    }

    /// Returns how far the first member after `slot` is, going round; `slot` itself is not looked at.
    #[inline]
    pub(super) fn distance(&self, slot: u8) -> Option<u8> {
        let first = if self.contains(0) { Some(0) } else { self.after(0) };
        let member = self.after(slot).or(first).filter(|member| *member != slot)?;
        Some(member.wrapping_sub(slot))
    }

    #[inline]
    fn word(&mut self, slot: u8) -> (&mut u64, u64) {
        let word = self
            .0
            .get_mut(usize::from(slot / 64))
            .expect("4 words of 64 bits hold a byte");
        (word, 1 << (slot % 64))
    }
}

/// Returns the first word that is not zero.
#[inline]
fn first<const N: usize>(words: [(u8, u64); N]) -> Option<(u8, u64)> {
    words.into_iter().find(|(_, word)| *word != 0)
}

#[cfg(test)]
mod tests {
    use super::Bitmap;

    #[test]
    fn the_next_member_is_found_from_everywhere() {
        for members in [
            vec![],
            vec![0],
            vec![255],
            vec![63, 64],
            vec![0, 127, 128, 255],
            (0..=255).collect(),
        ] {
            let mut bitmap = Bitmap::default();
            for member in &members {
                bitmap.set(*member);
            }
            for slot in 0..=u8::MAX {
                let after = members.iter().copied().find(|member| *member > slot);
                assert_eq!(bitmap.after(slot), after, "{members:?} after {slot}");
                let distance = (1..=u8::MAX).find(|ahead| members.contains(&slot.wrapping_add(*ahead)));
                assert_eq!(bitmap.distance(slot), distance, "{members:?} from {slot}");
                assert_eq!(bitmap.contains(slot), members.contains(&slot));
            }
        }
    }

    #[test]
    fn a_cleared_member_is_gone() {
        let mut bitmap = Bitmap::default();
        bitmap.set(64);
        bitmap.set(65);
        bitmap.clear(64);
        assert_eq!(bitmap.after(0), Some(65));
    }
}
