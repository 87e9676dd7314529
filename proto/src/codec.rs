//! Messages of gRPC, counted before they are decoded.
//!
//! A few bytes on the wire can be much in memory: an empty observation is two bytes there and some hundred here, and a
//! message of 4 MB could hold two million of them. So what repeats is counted first, on the encoded message, against what
//! its [`Shape`] allows; only then is memory taken for it. A message that has more than it may is refused as a whole.

use std::marker::PhantomData;

use prost::{
    Message,
    bytes::Buf,
    encoding::{WireType, decode_key, decode_varint},
};
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstCodec;

use crate::{limits, wire};

/// What may stand in a message, as far as it takes memory beyond its own bytes.
#[derive(Debug)]
pub struct Shape(&'static [Field]);

/// A field that repeats, or that holds a message.
#[derive(Debug)]
struct Field {
    number: u32,
    /// Times that it may stand in one message. Messages that may stand but once count too: a decoder would merge them.
    most: usize,
    shape: Option<&'static Shape>,
}

const fn list(number: u32, most: usize) -> Field {
    Field {
        number,
        most,
        shape: None,
    }
}

const fn messages(number: u32, most: usize, shape: &'static Shape) -> Field {
    Field {
        number,
        most,
        shape: Some(shape),
    }
}

/// A message whose decoded size is bounded.
pub trait Shaped {
    /// Its bounds.
    const SHAPE: Shape;
}

/// A caller's lists may be somewhat too long here, to be refused by name and not with the whole message.
const SPARE: usize = 4;
const ANYTHING: Shape = Shape(&[]);
static CERTIFICATE: Shape = Shape(&[list(3, limits::CERTIFICATE_NAMES)]);
static DNS: Shape = Shape(&[list(5, limits::DNS_ANSWERS), list(6, limits::CNAME_CHAIN)]);
static TLS: Shape = Shape(&[messages(4, limits::CERTIFICATES, &CERTIFICATE)]);
static HTTP: Shape = Shape(&[list(3, limits::HTTP_HEADERS)]);
static OBSERVATION: Shape = Shape(&[
    messages(20, 1, &DNS),
    messages(22, 1, &TLS),
    messages(23, 1, &HTTP),
]);
static BATCH: Shape = Shape(&[messages(1, limits::BATCH, &OBSERVATION)]);
/// Each list is as long as one with which a greeting is believed.
static HELLO: Shape = Shape(&[
    list(2, limits::CAPABILITIES),
    list(3, limits::SOURCE_ADDRESSES),
]);
static LOCAL: Shape = Shape(&[
    list(1, limits::LOCAL_ENTRIES),
    list(2, limits::LOCAL_ENTRIES),
    list(5, limits::LISTENERS),
]);
static START: Shape = Shape(&[
    list(2, SPARE * limits::SELECTORS),
    messages(6, 1, &LOCAL),
    list(8, SPARE * limits::ADDRESSES),
]);
static CHECK: Shape = Shape(&[list(5, limits::ADDRESSES), list(8, limits::RESOLVERS)]);

impl Shaped for wire::AttachRequest {
    const SHAPE: Shape = Shape(&[messages(1, 1, &HELLO), messages(2, 1, &BATCH)]);
}

impl Shaped for wire::AttachResponse {
    const SHAPE: Shape = Shape(&[messages(2, 1, &CHECK)]);
}

impl Shaped for wire::PublicServiceCheckRequest {
    const SHAPE: Shape = Shape(&[messages(1, 1, &START), messages(2, 1, &BATCH)]);
}

/// What has no lists; and answers that whoever asks for them has chosen to believe: a coordinator's to people, and to a
/// probe that joins it.
macro_rules! anything {
    ($($message:ident),*) => {
        $(impl Shaped for wire::$message {
            const SHAPE: Shape = ANYTHING;
        })*
    };
}
anything!(
    EnrolRequest,
    EnrolResponse,
    RenewRequest,
    RenewResponse,
    ListVantagesRequest,
    ListVantagesResponse,
    PublicServiceCheckResponse
);

impl Shape {
    /// Counts an encoded message.
    ///
    /// # Errors
    /// A sentence, where something stands there more often than it may, or where it is no message.
    pub fn check(&self, mut bytes: &[u8]) -> Result<(), String> {
        let mut counts = vec![0; self.0.len()];
        while bytes.has_remaining() {
            let (number, wire_type) = decode_key(&mut bytes).map_err(|error| error.to_string())?;
            let content = content(wire_type, &mut bytes)?;
            let Some(place) = self.0.iter().position(|field| field.number == number) else {
                continue;
            };
            let field = &self.0[place];
            counts[place] += 1;
            if counts[place] > field.most {
                return Err(format!("more than {} of field {number}", field.most));
            }
            if let Some(shape) = field.shape {
                shape.check(content)?;
            }
        }
        Ok(())
    }
}

/// Takes one field's content off; empty for a number.
fn content<'a>(wire_type: WireType, bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = match wire_type {
        WireType::Varint => {
            decode_varint(bytes).map_err(|error| error.to_string())?;
            return Ok(&[]);
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => decode_varint(bytes).map_err(|error| error.to_string())?,
        WireType::StartGroup | WireType::EndGroup => {
            return Err("a group, which no message has".into());
        }
    };
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= bytes.len());
    let length = length.ok_or("a field that is longer than its message")?;
    let (content, rest) = bytes.split_at(length);
    *bytes = rest;
    Ok(content)
}

/// The codec of all services: that of prost, with the messages that come counted first.
#[derive(Debug, Clone)]
pub struct CountingCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for CountingCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for CountingCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Shaped + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = CountingDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        CountingDecoder(PhantomData)
    }
}

/// Decodes what has passed the count.
#[derive(Debug, Clone)]
pub struct CountingDecoder<U>(PhantomData<U>);

impl<U: Message + Shaped + Default> Decoder for CountingDecoder<U> {
    type Item = U;
    type Error = Status;

    /// What cannot be decoded, or holds more than it may, is an invalid argument: the other side's fault, and no other
    /// failure of a stream has that code.
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        let refused =
            |why: String| Status::invalid_argument(format!("no message of this protocol: {why}"));
        U::SHAPE.check(&bytes).map_err(refused)?;
        U::decode(bytes)
            .map(Some)
            .map_err(|error| refused(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::{
        AttachRequest, Hello, Observation, ObservationBatch, attach_request::Message as Said,
    };

    use super::*;

    fn batch(observations: Vec<Observation>) -> Vec<u8> {
        let batch = ObservationBatch { observations };
        let message = Some(Said::Observations(batch));
        AttachRequest { message }.encode_to_vec()
    }

    fn checked(bytes: &[u8]) -> Result<(), String> {
        AttachRequest::SHAPE.check(bytes)
    }

    #[test]
    fn as_many_as_may_be_pass_and_one_more_does_not() {
        let many = |count| batch(vec![Observation::default(); count]);
        assert_eq!(checked(&many(limits::BATCH)), Ok(()));
        assert_eq!(
            checked(&many(limits::BATCH + 1)),
            Err("more than 256 of field 1".into())
        );
        let tls = |count| wire::TlsFacts {
            certificates: vec![wire::Certificate::default(); count],
            ..Default::default()
        };
        let with = |count| {
            batch(vec![Observation {
                facts: Some(wire::observation::Facts::Tls(tls(count))),
                ..Default::default()
            }])
        };
        assert_eq!(checked(&with(limits::CERTIFICATES)), Ok(()));
        assert!(checked(&with(limits::CERTIFICATES + 1)).is_err());
        let hello = |count| {
            let capabilities = vec![String::new(); count];
            let message = Some(Said::Hello(Hello {
                capabilities,
                ..Default::default()
            }));
            AttachRequest { message }.encode_to_vec()
        };
        assert_eq!(checked(&hello(limits::CAPABILITIES)), Ok(()));
        assert!(checked(&hello(limits::CAPABILITIES + 1)).is_err());
    }

    /// A decoder merges a message that stands there twice: twice as much would come through.
    #[test]
    fn what_may_stand_but_once_stands_but_once() {
        let one = batch(vec![Observation::default(); limits::BATCH]);
        assert!(checked(&[one.clone(), one].concat()).is_err());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [
            &[0x0a, 5, 1][..],
            &[0x0b],
            &[0xff; 20],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ] {
            assert!(checked(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        /// The count has no opinion of its own about what a message is.
        #[test]
        fn whatever_passes_is_decoded_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if checked(&bytes).is_ok() {
                let _ = AttachRequest::decode(&bytes[..]);
            }
        }
    }
}
