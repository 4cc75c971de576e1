//! The explicit little-endian layout of everything that crosses a link into the journal.
//!
//! A [`Slot`] is 128 bytes: kind, version, then the fields of that kind in the order in which they
//! are declared, then zeros. There is no padding and no Rust layout in it, so a journal written by
//! one build is read by another.

use crate::units::{Lots, MonoNanos, Price, Quote, Rate, Side, Ticks, UnixNanos};

/// Bytes of a slot.
pub const SLOT_BYTES: usize = 128;

/// The version that this build writes, and the only one that it reads.
pub const VERSION: u8 = 1;

/// One event or command as it stands in the journal.
pub type Slot = [u8; SLOT_BYTES];

/// Why a slot is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The version byte is not [`VERSION`].
    Version(u8),
    /// No such kind.
    Kind(u8),
    /// A field holds a value that its type does not have.
    Value,
}

/// A value with a fixed place in a slot.
pub trait Field: Sized {
    /// Bytes that it takes.
    const SIZE: usize;

    /// Appends this value.
    fn put(&self, to: &mut Writer<'_>);

    /// Reads the value that stands next.
    ///
    /// # Errors
    /// [`LayoutError::Value`] when the bytes are no value of this type.
    fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError>;
}

/// Appends fields to a slot.
pub struct Writer<'s> {
    slot: &'s mut Slot,
    at: usize,
}

impl<'s> Writer<'s> {
    /// Starts a slot of `kind`; whatever stood in it is gone.
    pub fn new(slot: &'s mut Slot, kind: u8) -> Self {
        *slot = [0; SLOT_BYTES];
        slot[0] = kind;
        slot[1] = VERSION;
        Self { slot, at: 2 }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.slot[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

/// Reads the fields of a slot in order.
pub struct Reader<'s> {
    slot: &'s Slot,
    at: usize,
}

impl<'s> Reader<'s> {
    /// Checks the version and gives the kind with a reader of its fields.
    ///
    /// # Errors
    /// [`LayoutError::Version`] when another build's layout is there.
    pub fn new(slot: &'s Slot) -> Result<(u8, Self), LayoutError> {
        if slot[1] != VERSION {
            return Err(LayoutError::Version(slot[1]));
        }
        Ok((slot[0], Self { slot, at: 2 }))
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.slot[self.at..self.at + N]);
        self.at += N;
        bytes
    }
}

macro_rules! number_field {
    ($($number:ty),*) => {$(
        impl Field for $number {
            const SIZE: usize = size_of::<$number>();
            fn put(&self, to: &mut Writer<'_>) {
                to.bytes(&self.to_le_bytes());
            }
            fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
                Ok(Self::from_le_bytes(from.bytes()))
            }
        }
    )*};
}
number_field!(u8, u16, u32, u64, i32, i64, i128);

macro_rules! wrapper_field {
    ($($wrapper:ident($inner:ty)),*) => {$(
        impl Field for $wrapper {
            const SIZE: usize = <$inner as Field>::SIZE;
            fn put(&self, to: &mut Writer<'_>) {
                self.0.put(to);
            }
            fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
                Ok(Self(<$inner as Field>::take(from)?))
            }
        }
    )*};
}
wrapper_field!(
    Ticks(i64),
    Lots(i64),
    Quote(i64),
    Price(i64),
    Rate(i64),
    MonoNanos(u64),
    UnixNanos(i64)
);

impl<T: Field + Copy + Default, const N: usize> Field for [T; N] {
    const SIZE: usize = T::SIZE * N;
    fn put(&self, to: &mut Writer<'_>) {
        for value in self {
            value.put(to);
        }
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
        let mut values = [T::default(); N];
        for value in &mut values {
            *value = T::take(from)?;
        }
        Ok(values)
    }
}

impl Field for bool {
    const SIZE: usize = 1;
    fn put(&self, to: &mut Writer<'_>) {
        u8::from(*self).put(to);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(LayoutError::Value),
        }
    }
}

impl Field for Side {
    const SIZE: usize = 1;
    fn put(&self, to: &mut Writer<'_>) {
        (*self as u8).put(to);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
        match u8::take(from)? {
            0 => Ok(Self::Buy),
            1 => Ok(Self::Sell),
            _ => Err(LayoutError::Value),
        }
    }
}

/// Declares a plain struct whose fields stand in a slot in the order of their declaration.
#[macro_export]
macro_rules! slot_struct {
    ($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::layout::Field for $name {
            const SIZE: usize = 0 $(+ <$type as $crate::layout::Field>::SIZE)*;
            fn put(&self, to: &mut $crate::layout::Writer<'_>) {
                $($crate::layout::Field::put(&self.$field, to);)*
            }
            fn take(
                from: &mut $crate::layout::Reader<'_>,
            ) -> Result<Self, $crate::layout::LayoutError> {
                Ok(Self { $($field: $crate::layout::Field::take(from)?,)* })
            }
        }
    };
}

/// Declares an enum without content that stands in a slot as one byte, with its name for people.
#[macro_export]
macro_rules! slot_enum {
    ($(#[$doc:meta])* pub enum $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal $text:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word that operators know.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(self.text())
            }
        }

        impl $crate::layout::Field for $name {
            const SIZE: usize = 1;
            fn put(&self, to: &mut $crate::layout::Writer<'_>) {
                $crate::layout::Field::put(&(*self as u8), to);
            }
            fn take(
                from: &mut $crate::layout::Reader<'_>,
            ) -> Result<Self, $crate::layout::LayoutError> {
                match <u8 as $crate::layout::Field>::take(from)? {
                    $($number => Ok(Self::$variant),)*
                    _ => Err($crate::layout::LayoutError::Value),
                }
            }
        }
    };
}

/// Declares an enum of slot structs, one kind byte each, with `encode` and `decode`.
#[macro_export]
macro_rules! slot_kinds {
    ($(#[$doc:meta])* pub enum $name:ident {
        $($(#[$variant_doc:meta])* $kind:literal => $variant:ident($type:ty),)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant($type),)*
        }

        impl $name {
            /// The kind byte of this value's slot.
            pub const fn kind(&self) -> u8 {
                match self {
                    $(Self::$variant(_) => $kind,)*
                }
            }

            /// Writes this value as a slot.
            pub fn encode(&self, slot: &mut $crate::layout::Slot) {
                let mut to = $crate::layout::Writer::new(slot, self.kind());
                match self {
                    $(Self::$variant(value) => $crate::layout::Field::put(value, &mut to),)*
                }
            }

            /// Reads a value from its slot.
            ///
            /// # Errors
            /// As [`LayoutError`]($crate::layout::LayoutError) says.
            pub fn decode(
                slot: &$crate::layout::Slot,
            ) -> Result<Self, $crate::layout::LayoutError> {
                let (kind, mut from) = $crate::layout::Reader::new(slot)?;
                match kind {
                    $($kind => Ok(Self::$variant($crate::layout::Field::take(&mut from)?)),)*
                    other => Err($crate::layout::LayoutError::Kind(other)),
                }
            }
        }

        $(const _: () = assert!(
            <$type as $crate::layout::Field>::SIZE + 2 <= $crate::layout::SLOT_BYTES
        );)*
    };
}
