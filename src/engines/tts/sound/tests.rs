use super::*;
use crate::audio::Clip;
use crate::audio::resample::convert;
use crate::engines::core::wav::encode;

const PCM: Requested = Requested { format: SpeechFormat::Pcm, rate: None };

fn raw(pieces: &[&[u8]]) -> ByteStream {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

async fn whole(pieces: Pieces) -> Clip {
    let clips: Vec<Clip> = pieces.map(|clip| clip.expect("a clip")).collect().await;
    let rate = clips.first().map_or(8_000, |clip| clip.rate);
    assert!(clips.iter().all(|clip| clip.rate == rate));
    Clip::new(rate, clips.iter().flat_map(|clip| clip.samples.to_vec()).collect::<Vec<_>>())
}

async fn recognised(
    content_type: Option<&str>,
    requested: Requested,
    bytes: &[u8],
) -> Result<Clip, EngineError> {
    let pieces: Vec<&[u8]> = bytes.chunks(4_801).collect();
    Ok(whole(recognise(content_type, requested, raw(&pieces)).await?).await)
}

fn tone(rate: u32) -> Vec<i16> {
    let step = 1_000.0 * std::f64::consts::TAU / f64::from(rate);
    (0..rate).map(|n| ((step * f64::from(n)).sin() * 8_000.0) as i16).collect()
}

/// The frequency of a second of a tone on a narrow-band call, in Hz.
fn heard_frequency(clip: &Clip) -> usize {
    let narrow = convert(clip, 8_000);
    narrow.samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count()
}

#[tokio::test]
async fn a_tone_keeps_its_pitch_in_every_format_and_rate() {
    let le = |rate| tone(rate).into_iter().flat_map(i16::to_le_bytes).collect::<Vec<_>>();
    let mulaw: Vec<u8> = tone(8_000).into_iter().map(audio_codec_algorithms::encode_ulaw).collect();
    let mut streamed = encode(22_050, &tone(22_050));
    streamed[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    let stereo: Vec<i16> = tone(22_050).into_iter().flat_map(|sample| [sample, sample]).collect();
    let mut stereo = encode(22_050, &stereo);
    stereo[22] = 2;
    let at = |format, rate: Option<u32>| Requested {
        format,
        rate: rate.map(|rate| Rate::try_from(rate).expect("a rate")),
    };
    for (content_type, requested, bytes) in [
        (Some("audio/wav"), PCM, encode(22_050, &tone(22_050))),
        (Some("audio/pcm"), PCM, streamed),
        (None, at(SpeechFormat::Wav, None), stereo),
        (Some("audio/basic"), at(SpeechFormat::Mulaw, None), mulaw),
        (Some("audio/pcm"), PCM, le(24_000)),
        (None, at(SpeechFormat::Pcm, Some(16_000)), le(16_000)),
        (Some("audio/pcm; rate=16000"), PCM, le(16_000)),
    ] {
        let clip = recognised(content_type, requested, &bytes).await.expect("a sound");
        assert!((998..=1_002).contains(&heard_frequency(&clip)), "{content_type:?} {requested:?} {clip:?}");
        assert!((clip.duration().as_secs_f64() - 1.0).abs() < 0.001, "{content_type:?} {clip:?}");
    }
}

#[test]
fn a_rate_that_is_none_is_refused() {
    let rate = |text: &str| toml::from_str::<std::collections::BTreeMap<String, Rate>>(text);
    assert_eq!(rate("rate = 22050").expect("a rate")["rate"].get(), 22_050);
    for text in ["rate = 0", "rate = 200000", "rate = -1"] {
        assert!(rate(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn other_content_is_refused_by_name_and_setting() {
    for (content_type, bytes, words) in [
        (Some("audio/mpeg"), &b"\xff\xfb\x90\x00............"[..], "MP3 (audio/mpeg)"),
        (None, b"ID3\x04..............", "MP3 (without Content-Type)"),
        (Some("audio/ogg; codecs=opus"), b"OggS............", "Ogg (audio/ogg)"),
        (Some("application/json"), br#"{"detail":"no such voice"}"#, "no such voice"),
        (Some("audio/pcm"), br#"{"error":"busy"}"#, "JSON (audio/pcm)"),
        (Some("text/html; charset=utf-8"), b"<html><body>Bad gateway", "<html><body>Bad gateway"),
        (Some("text/plain"), b"no", "text (text/plain)"),
    ] {
        let error = recognised(content_type, PCM, bytes).await.expect_err("a refusal");
        assert!(!error.worth_retrying());
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("`format`"), "{text}");
    }
}

#[tokio::test]
async fn samples_that_look_like_mpeg_are_samples_where_the_server_says_so() {
    let samples = [0xff, 0xfb, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0];
    assert!(recognised(None, PCM, &samples).await.is_err());
    assert_eq!(recognised(Some("audio/pcm"), PCM, &samples).await.expect("samples").samples.len(), 6);
}

#[tokio::test]
async fn a_file_may_be_split_anywhere() {
    let file = encode(22_050, &[1, -2, 3, -4]);
    for first in 0..=file.len() {
        for second in first..=file.len() {
            let split: [&[u8]; 3] = [&file[..first], &file[first..second], &file[second..]];
            let clip = whole(recognise(None, PCM, raw(&split)).await.expect("a sound")).await;
            assert_eq!(clip.samples[..], [1, -2, 3, -4], "split at {first} and {second}");
        }
    }
}

#[tokio::test]
async fn other_formats_are_refused_where_wav_is_the_only_one() {
    assert!(wav(vec![], raw(&[&[0; 60]])).await.is_err());
    assert!(wav(vec![], raw(&[b"RIFF"])).await.is_err());
    assert!(wav(vec![], raw(&[])).await.expect("an empty sound").next().await.is_none());
}

#[test]
fn a_speech_has_the_rate_of_its_call_unless_the_settings_name_one() {
    let rate = |rate| Rate::try_from(rate).expect("a rate");
    for (format, set, call, expected) in [
        (Bare::Pcm, None, Some(8_000), BareSpeech::Pcm(rate(8_000))),
        (Bare::Pcm, None, Some(16_000), BareSpeech::Pcm(rate(16_000))),
        (Bare::Pcm, None, None, BareSpeech::Pcm(rate(16_000))),
        (Bare::Pcm, Some(24_000), Some(8_000), BareSpeech::Pcm(rate(24_000))),
        (Bare::Mulaw, None, Some(8_000), BareSpeech::Mulaw),
        (Bare::Mulaw, None, None, BareSpeech::Mulaw),
        (Bare::Mulaw, None, Some(16_000), BareSpeech::Pcm(rate(16_000))),
    ] {
        assert_eq!(format.requested(set.map(rate), call.map(rate)), expected, "{format:?} {set:?} {call:?}");
    }
}
