//! Argument structs of kernels, declared once for Rust and for Metal.

/// Declares an argument struct: a `#[repr(C)]` Rust struct, and in `MSL` the text of the same struct in Metal.
///
/// Fields are `u32`, `i32`, `f32` or arrays of them (`[u32; 4]`), which have the same size and alignment in both.
///
/// ```
/// wootz_gpu::kernel_args! {
///     /// How to scale.
///     pub struct ScaleArguments {
///         /// Elements in a row.
///         width: u32,
///         /// The factor.
///         factor: f32,
///     }
/// }
/// assert_eq!(ScaleArguments::MSL, "struct ScaleArguments {\n    uint width;\n    float factor;\n};\n");
/// ```
#[macro_export]
macro_rules! kernel_args {
    ($(#[$about:meta])* pub struct $name:ident {
        $($(#[$about_field:meta])* $field:ident : $kind:tt),+ $(,)?
    }) => {
        $(#[$about])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name {
            $($(#[$about_field])* pub $field: $kind,)+
        }

        impl $name {
            /// The struct in Metal.
            pub const MSL: &'static str = concat!(
                "struct ", stringify!($name), " {\n",
                $($crate::kernel_args!(@field $field $kind),)+
                "};\n"
            );
        }
    };
    (@field $field:ident [$kind:tt; $length:tt]) => {
        concat!("    ", $crate::kernel_args!(@type $kind), " ", stringify!($field), "[", stringify!($length), "];\n")
    };
    (@field $field:ident $kind:tt) => {
        concat!("    ", $crate::kernel_args!(@type $kind), " ", stringify!($field), ";\n")
    };
    (@type u32) => { "uint" };
    (@type i32) => { "int" };
    (@type f32) => { "float" };
}

#[cfg(test)]
mod tests {
    kernel_args! {
        /// Every kind of field.
        pub struct EveryKind {
            /// Unsigned.
            count: u32,
            /// Signed.
            shift: i32,
            /// Real.
            factor: f32,
            /// Several.
            strides: [u32; 3],
        }
    }

    #[test]
    fn both_languages_see_the_same_fields() {
        assert_eq!(
            EveryKind::MSL,
            "struct EveryKind {\n    uint count;\n    int shift;\n    float factor;\n    uint strides[3];\n};\n"
        );
        assert_eq!(size_of::<EveryKind>(), 24);
    }
}
