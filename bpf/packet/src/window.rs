//! A checked view into a packet.

/// `N` bytes of a packet that may be read and written.
///
/// Multi-byte reads and writes are single loads and stores at whatever alignment the packet has: the architectures that
/// eBPF targets allow it, and the compiler's alternative is a load and a shift for every byte.
#[derive(Clone, Copy, Debug)]
pub struct Window<const N: usize> {
    start: *mut u8,
}

impl<const N: usize> Window<N> {
    /// A view of the bytes at `start`.
    ///
    /// # Safety
    ///
    /// `start` points to `N` bytes that stay valid for reads and writes as long as the window is used. In eBPF every helper
    /// that changes the packet ends that.
    #[inline(always)]
    pub const unsafe fn new(start: *mut u8) -> Self {
        Self { start }
    }

    /// A view of the bytes at `offset` in the packet that lies from `start` to `end`; none where it ends before.
    ///
    /// # Safety
    ///
    /// As of [`new`](Self::new), for the whole packet.
    #[inline(always)]
    pub const unsafe fn inside(start: usize, end: usize, offset: usize) -> Option<Self> {
        let start = start + offset;
        if start + N > end {
            return None;
        }
        // SAFETY: checked against the packet's end; the rest is the caller's promise.
        Some(unsafe { Self::new(start as *mut u8) })
    }

    /// The byte at `AT`.
    #[inline(always)]
    pub fn u8<const AT: usize>(self) -> u8 {
        const { assert!(AT < N) };
        // SAFETY: `AT` is inside the window.
        unsafe { *self.start.add(AT) }
    }

    /// The two bytes at `AT`, as they stand in memory.
    #[inline(always)]
    pub fn u16<const AT: usize>(self) -> u16 {
        const { assert!(AT + 2 <= N) };
        // SAFETY: the two bytes are inside the window.
        unsafe { load(self.start.add(AT).cast()) }
    }

    /// The four bytes at `AT`, as they stand in memory.
    #[inline(always)]
    pub fn u32<const AT: usize>(self) -> u32 {
        const { assert!(AT + 4 <= N) };
        // SAFETY: the four bytes are inside the window.
        unsafe { load(self.start.add(AT).cast()) }
    }

    /// Writes the byte at `AT`.
    #[inline(always)]
    pub fn set_u8<const AT: usize>(self, value: u8) {
        const { assert!(AT < N) };
        // SAFETY: `AT` is inside the window.
        unsafe { *self.start.add(AT) = value }
    }

    /// Writes two bytes at `AT`, as they stand in memory.
    #[inline(always)]
    pub fn set_u16<const AT: usize>(self, value: u16) {
        const { assert!(AT + 2 <= N) };
        // SAFETY: the two bytes are inside the window.
        unsafe { store(self.start.add(AT).cast(), value) }
    }

    /// Writes four bytes at `AT`, as they stand in memory.
    #[inline(always)]
    pub fn set_u32<const AT: usize>(self, value: u32) {
        const { assert!(AT + 4 <= N) };
        // SAFETY: the four bytes are inside the window.
        unsafe { store(self.start.add(AT).cast(), value) }
    }
}

#[inline(always)]
unsafe fn load<T: Copy>(from: *const T) -> T {
    // SAFETY: the caller's window holds the bytes; eBPF's loads need no alignment in packets.
    unsafe {
        if cfg!(target_arch = "bpf") {
            *from
        } else {
            from.read_unaligned()
        }
    }
}

#[inline(always)]
unsafe fn store<T: Copy>(to: *mut T, value: T) {
    // SAFETY: as for `load`.
    unsafe {
        if cfg!(target_arch = "bpf") {
            *to = value;
        } else {
            to.write_unaligned(value);
        }
    }
}
