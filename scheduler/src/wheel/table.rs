//! The values of armed timers, each beside the generation that its handle has to match.

use super::Handle;

/// Places of a chunk. Chunks make the table grow without copying it.
const CHUNK: usize = 1 << 14;

/// The generation of a place that no timer holds.
const NONE: u32 = 0;

/// The table.
#[derive(Debug)]
pub(super) struct Table<T> {
    chunks: Vec<Vec<Place<T>>>,
    free: Free,
    armed: usize,
    /// The generation given out last. It counts for the whole table, so that a place may go away and come back.
    generation: u32,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: T,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            free: Free::default(),
            armed: 0,
            generation: NONE,
        }
    }
}

impl<T: Copy> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.armed
    }

    /// Gives a value a place, the one that was freed last if there is one.
    pub(super) fn insert(&mut self, value: T) -> Handle {
        self.generation = self.generation.wrapping_add(1);
        if self.generation == NONE {
            self.generation += 1;
        }
        let generation = self.generation;
        self.armed += 1;
        let place = Place { generation, value };
        let index = if let Some(index) = self.free.pop() {
            *place_mut(&mut self.chunks, index).expect("free places are in the table") = place;
            index
        } else {
            self.append(place)
        };
        Handle { index, generation }
    }

    /// Returns whether the handle's timer is armed.
    pub(super) fn holds(&self, handle: Handle) -> bool {
        self.place(handle).is_some()
    }

    /// Returns the value of a handle's timer if it is armed.
    pub(super) fn peek(&self, handle: Handle) -> Option<T> {
        self.place(handle).map(|place| place.value)
    }

    /// Disarms the handle's timer and frees its place; `None` if it was not armed.
    pub(super) fn take(&mut self, handle: Handle) -> Option<T> {
        let place = place_mut(&mut self.chunks, handle.index).filter(|place| place.generation == handle.generation)?;
        place.generation = NONE;
        let value = place.value;
        self.free.push(handle.index);
        self.armed -= 1;
        if self.armed == 0 {
            self.shrink();
        }
        Some(value)
    }

    /// Returns the bytes of all places, and of the list of free ones.
    pub(super) fn bytes(&self) -> usize {
        let chunk = CHUNK * size_of::<Place<T>>() + size_of::<Vec<Place<T>>>();
        self.chunks.len() * chunk + self.free.bytes()
    }

    fn place(&self, handle: Handle) -> Option<&Place<T>> {
        let (chunk, offset) = split(handle.index);
        let place = self.chunks.get(chunk)?.get(offset)?;
        (place.generation == handle.generation).then_some(place)
    }

    fn append(&mut self, place: Place<T>) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("a chunk was added if there was none");
        let index = before + chunk.len();
        chunk.push(place);
        u32::try_from(index).expect("the owner's bound is far below 2^32 timers")
    }

    /// Gives the memory of an empty table back, except a little.
    fn shrink(&mut self) {
        if self.chunks.len() > 1 {
            self.chunks.truncate(1);
            self.chunks.iter_mut().for_each(Vec::clear);
            self.free = Free::default();
        }
    }
}

fn place_mut<T>(chunks: &mut [Vec<Place<T>>], index: u32) -> Option<&mut Place<T>> {
    let (chunk, offset) = split(index);
    chunks.get_mut(chunk)?.get_mut(offset)
}

#[inline]
fn split(index: u32) -> (usize, usize) {
    let index = index as usize;
    (index / CHUNK, index % CHUNK)
}

/// Indices of free places, the last one first out.
#[derive(Debug, Default)]
struct Free {
    chunks: Vec<Vec<u32>>,
}

/// Indices of a chunk of the free list.
const FREE_CHUNK: usize = 1 << 12;

impl Free {
    #[inline]
    fn push(&mut self, index: u32) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < FREE_CHUNK => chunk.push(index),
            _ => {
                let mut chunk = Vec::with_capacity(FREE_CHUNK);
                chunk.push(index);
                self.chunks.push(chunk);
            }
        }
    }

    #[inline]
    fn pop(&mut self) -> Option<u32> {
        loop {
            let last = self.chunks.last_mut()?;
            if let Some(index) = last.pop() {
                return Some(index);
            }
            self.chunks.pop();
        }
    }

    fn bytes(&self) -> usize {
        self.chunks.len() * (FREE_CHUNK * size_of::<u32>() + size_of::<Vec<u32>>())
    }
}
