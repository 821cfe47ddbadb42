//! The memory one hashing thread fills again and again.
//!
//! Argon2 wants megabytes for a moment. Asking the system for them at each hash costs page faults (a quarter of
//! the time at 64 MiB) and lets a storm of logins decide how much memory the process has. So each thread keeps
//! one arena; it grows to what today's costs need and no further: an imported hash that asks for more gets
//! it for that one hash.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroize;

use super::large_pages;

/// One thread's Argon2 memory, and a count of what was done in it.
pub(crate) struct Arena {
    blocks: Vec<Block>,
    /// How many blocks hold something derived from a password.
    used: usize,
    /// How many blocks are kept between two hashes.
    kept: usize,
    /// KiB written since the start, all passes together: what "the same work" is measured by.
    work: u64,
    /// How often the memory had to grow.
    growths: u64,
}

/// Everything Argon2 takes besides the password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Argon2Recipe {
    pub(crate) algorithm: Algorithm,
    pub(crate) version: Version,
    pub(crate) memory_kib: u32,
    pub(crate) iterations: u32,
    pub(crate) parallelism: u32,
}

impl Arena {
    /// An empty arena that keeps up to `kept_kib` between two hashes.
    pub(crate) fn new(kept_kib: u32) -> Self {
        Self {
            blocks: Vec::new(),
            used: 0,
            kept: kept_kib as usize,
            work: 0,
            growths: 0,
        }
    }

    /// Fills `tag` with the Argon2 hash of `password`.
    pub(crate) fn argon2(
        &mut self,
        recipe: &Argon2Recipe,
        password: &[u8],
        salt: &[u8],
        tag: &mut [u8],
    ) -> Result<(), argon2::Error> {
        let params = Params::new(
            recipe.memory_kib,
            recipe.iterations,
            recipe.parallelism,
            Some(tag.len()),
        )?;
        let count = params.block_count();
        if self.blocks.len() < count {
            // Reserved exactly: a doubling vector would hold up to twice the memory promised. Cleared first, so
            // that growing does not copy.
            self.forget();
            self.blocks = Vec::new();
            self.blocks
                .try_reserve_exact(count)
                .map_err(|_| argon2::Error::OutOfMemory)?;
            large_pages::touch(|| self.blocks.resize(count, Block::new()));
            self.growths += 1;
        }
        self.used = self.used.max(count);
        self.work += u64::from(recipe.memory_kib) * u64::from(recipe.iterations);
        let done = Argon2::new(recipe.algorithm, recipe.version, params).hash_password_into_with_memory(
            password,
            salt,
            tag,
            &mut self.blocks[..count],
        );
        if self.blocks.len() > self.kept {
            self.release();
        }
        done
    }

    /// Wipes what is derived from passwords, and keeps the memory.
    pub(crate) fn forget(&mut self) {
        self.blocks[..self.used].iter_mut().for_each(Block::zeroize);
        self.used = 0;
    }

    /// Wipes the memory and gives it back.
    pub(crate) fn release(&mut self) {
        self.forget();
        self.blocks = Vec::new();
    }

    /// KiB written since the start.
    pub(crate) fn work(&self) -> u64 {
        self.work
    }

    /// Whether there is something to wipe.
    pub(crate) fn is_used(&self) -> bool {
        self.used > 0
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use argon2::{Algorithm, Version};

    use super::{Arena, Argon2Recipe};

    fn recipe(memory_kib: u32) -> Argon2Recipe {
        Argon2Recipe {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            memory_kib,
            iterations: 2,
            parallelism: 1,
        }
    }

    fn tag(arena: &mut Arena, memory_kib: u32, password: &str) -> [u8; 32] {
        let mut tag = [0; 32];
        arena
            .argon2(
                &recipe(memory_kib),
                password.as_bytes(),
                b"0123456789abcdef",
                &mut tag,
            )
            .unwrap();
        tag
    }

    #[test]
    fn memory_is_asked_for_once_and_used_again() {
        let mut arena = Arena::new(64);
        let first = tag(&mut arena, 64, "one");
        let address = arena.blocks.as_ptr();
        for _ in 0..8 {
            assert_eq!(tag(&mut arena, 64, "one"), first);
            assert_ne!(tag(&mut arena, 32, "one"), first);
        }
        assert_eq!(
            (arena.growths, arena.blocks.len(), arena.blocks.as_ptr()),
            (1, 64, address)
        );
        assert_eq!(arena.work(), (9 * 64 + 8 * 32) * 2);
    }

    #[test]
    fn what_an_earlier_hash_left_behind_changes_nothing() {
        let mut dirty = Arena::new(64);
        tag(&mut dirty, 64, "somebody else");
        assert_eq!(tag(&mut dirty, 48, "one"), tag(&mut Arena::new(64), 48, "one"));
    }

    #[test]
    fn a_greedy_import_gives_its_memory_back_at_once() {
        let mut arena = Arena::new(64);
        tag(&mut arena, 4096, "one");
        assert_eq!((arena.blocks.capacity(), arena.is_used()), (0, false));
    }

    #[test]
    fn forgetting_wipes_every_block_and_keeps_the_memory() {
        let mut arena = Arena::new(64);
        tag(&mut arena, 64, "one");
        assert!(arena.is_used());
        arena.forget();
        assert!(
            arena
                .blocks
                .iter()
                .all(|block| block.as_ref().iter().all(|&word| word == 0))
        );
        assert_eq!((arena.blocks.len(), arena.is_used()), (64, false));
    }

    #[test]
    fn the_test_vector_of_rfc_9106_section_5_3_holds() {
        // The vector has a key and associated data, which the arena's recipe leaves out; so it is the crate that is
        // checked here, and the arena against the crate.
        let params = argon2::ParamsBuilder::new()
            .m_cost(32)
            .t_cost(3)
            .p_cost(4)
            .data(argon2::AssociatedData::new(&[4; 12]).unwrap())
            .output_len(32)
            .build()
            .unwrap();
        let mut tag = [0; 32];
        let mut memory = vec![argon2::Block::new(); params.block_count()];
        argon2::Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params)
            .unwrap()
            .hash_password_into_with_memory(&[1; 32], &[2; 16], &mut tag, &mut memory)
            .unwrap();
        assert_eq!(
            data_encoding::HEXLOWER.encode(&tag),
            "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
        );
    }
}
