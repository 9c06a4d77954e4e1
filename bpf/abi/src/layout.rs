//! Compile-time proof that a shared type has the layout that both sides expect.

/// Asserts size and alignment of a type, and that its fields' sizes add up to its size (no padding).
macro_rules! layout {
    ($type:ty, size $size:literal, align $align:literal, fields [$($field:ty),+ $(,)?]) => {
        const _: () = {
            assert!(core::mem::size_of::<$type>() == $size);
            assert!(core::mem::align_of::<$type>() == $align);
            assert!(0 $(+ core::mem::size_of::<$field>())+ == $size);
        };
    };
}
pub(crate) use layout;
