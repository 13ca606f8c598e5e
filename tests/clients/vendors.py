"""Runs the vendors' own clients against a local server of their APIs, refusals included. Prints "done"."""

import asyncio
import base64
import io
import os
import wave

import anthropic
import openai
from cartesia import APIStatusError as CartesiaError
from cartesia import Cartesia
from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError as DeepgramError
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v2.types import ListenV2TurnInfo
from deepgram.speak.v1.types import SpeakV1Metadata, SpeakV1Text, SpeakV1Warning
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError as ElevenLabsError
from elevenlabs.realtime.connection import RealtimeEvents
from elevenlabs.realtime.scribe import AudioFormat, CommitStrategy
from websockets.exceptions import ConnectionClosed, InvalidStatus

URL = os.environ["VENDOR_URL"]
LIMITED = os.environ["LIMITED_URL"]
LIVE = os.environ["LIVE_URL"]
KEY = os.environ["VENDOR_KEY"]
REPLY = "We are open from nine to five."
WORDS = "What are your opening hours?"
# A second of sound at 8 kHz, in frames of 100 ms.
SOUND = [b"\x00\x10" * 800] * 10
TOOL = {"type": "function", "function": {"name": "end_call", "parameters": {"type": "object", "properties": {}}}}


def client(url: str = URL, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def refused(kind: type[Exception], act, **expected) -> Exception:
    try:
        act()
    except kind as error:
        for name, value in expected.items():
            assert getattr(error, name) == value, (error, name, getattr(error, name))
        return error
    raise AssertionError(f"no {kind}")


def clip(seconds: float) -> io.BytesIO:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(b"\x00\x10" * int(8000 * seconds))
    file.seek(0)
    file.name = "speech.wav"
    return file


def ask(**fields):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": fields.pop("text", "Hours?")}]
    return client().chat.completions.create(model="gpt-5.4-mini", messages=messages, **fields)


def chat() -> None:
    models = {model.id: model.shutdown_date for model in client().models.list()}
    assert models["gpt-5.4-mini"] is None and models["tts-1"] == "2027-01-06", models
    whole = ask(max_completion_tokens=16)
    assert whole.choices[0].message.content == REPLY and whole.usage.completion_tokens == 8
    chunks = list(ask(stream=True, stream_options={"include_usage": True}, max_completion_tokens=16, tools=[TOOL]))
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == REPLY
    assert chunks[-2].choices[0].finish_reason == "stop" and chunks[-1].usage.prompt_tokens == 40
    chunks = list(ask(text="Goodbye.", stream=True, tools=[TOOL], reasoning_effort="none"))
    calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or []]
    assert calls[0].function.name == "end_call" and chunks[-1].choices[0].finish_reason == "tool_calls"
    call = ask(text="Goodbye.", tools=[TOOL]).choices[0].message.tool_calls[0]
    assert (call.type, call.function.name) == ("function", "end_call")
    error = refused(openai.BadRequestError, lambda: ask(max_tokens=16), code="unsupported_parameter")
    assert error.param == "max_tokens"
    refused(openai.BadRequestError, lambda: ask(extra_body={"no_such_field": 1}), code="unknown_parameter")
    refused(openai.BadRequestError, lambda: ask(stream_options={"include_usage": True}))
    refused(openai.AuthenticationError, lambda: client(key="sk-wrong").models.list(), code="invalid_api_key")
    limited = client(LIMITED).chat.completions
    message = [{"role": "user", "content": "Hours?"}]
    refused(
        openai.RateLimitError,
        lambda: limited.create(model="gpt-5.4-mini", messages=message),
        code="insufficient_quota",
    )


def responses() -> None:
    tool = {"type": "function", "name": "end_call", "parameters": TOOL["function"]["parameters"], "strict": False}

    def respond(text: str, at: openai.OpenAI | None = None, **fields):
        order = {"model": "gpt-5.4-mini", "instructions": "Be brief.", "tools": [tool], "store": False, **fields}
        return (at or client()).responses.create(input=[{"role": "user", "content": text}], **order)

    whole = respond("Hours?", max_output_tokens=16)
    assert whole.output_text == REPLY and whole.usage.output_tokens == 8, whole
    events = list(respond("Goodbye.", stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == REPLY
    assert events[-1].type == "response.completed" and events[-1].response.output[1].name == "end_call"
    call = respond("Goodbye.").output[1]
    assert (call.type, call.call_id) == ("function_call", "call_1")
    order = [call.to_dict(), {"type": "function_call_output", "call_id": "call_1", "output": "done"}]
    client().responses.create(model="gpt-5.4-mini", input=order, tools=[tool])
    refused(openai.BadRequestError, lambda: client().responses.create(model="gpt-5.4-mini", input=order[:1]))
    refused(openai.BadRequestError, lambda: respond("Hours?", max_output_tokens=8))
    refused(openai.NotFoundError, lambda: respond("Hours?", model="no-such-model"), code="model_not_found")
    refused(openai.RateLimitError, lambda: respond("Hours?", client(LIMITED)), code="insufficient_quota")


def claude() -> None:
    tool = {"name": "end_call", "input_schema": TOOL["function"]["parameters"]}

    def at(url: str = URL, key: str = KEY) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=f"{url}/anthropic", api_key=key, max_retries=0)

    def ask(text: str, messages=(), **fields):
        order = {"model": "claude-haiku-4-5", "max_tokens": 16, "system": "Be brief.", "tools": [tool], **fields}
        return at().messages.create(messages=[{"role": "user", "content": text}, *messages], **order)

    assert "claude-sonnet-5" in [model.id for model in at().models.list()]
    whole = ask("Hours?")
    assert whole.content[0].text == REPLY and whole.usage.cache_read_input_tokens == 30, whole
    order = {"model": "claude-haiku-4-5", "max_tokens": 16, "tools": [tool]}
    with at().messages.stream(messages=[{"role": "user", "content": "Goodbye."}], **order) as stream:
        assert "".join(stream.text_stream) == REPLY
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use" and final.content[1].input == {} and final.usage.output_tokens == 8, final
    use = {"role": "assistant", "content": [block.to_dict() for block in final.content]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"}]}
    assert ask("Goodbye.", [use, result]).stop_reason == "end_turn"
    refused(anthropic.BadRequestError, lambda: ask("Goodbye.", [use]))
    refused(anthropic.BadRequestError, lambda: ask("Goodbye.", [use, {"role": "user", "content": "No result."}]))
    refused(anthropic.BadRequestError, lambda: ask("Hours?", extra_body={"no_such_field": 1}))
    refused(anthropic.NotFoundError, lambda: ask("Hours?", model="gpt-5.4-mini"))
    refused(anthropic.AuthenticationError, lambda: at(key="wrong").models.list())
    limited = at(LIMITED).messages
    message = [{"role": "user", "content": "Hours?"}]
    error = refused(
        anthropic.BadRequestError,
        lambda: limited.create(model="claude-haiku-4-5", max_tokens=16, messages=message),
    )
    assert "credit balance" in str(error), error


def transcription() -> None:
    create = client().audio.transcriptions.create
    new = create(model="gpt-transcribe", file=clip(0.5), extra_body={"languages": ["de"], "keywords": ["Ada"]})
    assert new.text == "What are your opening hours?" and new.usage.input_tokens == 14
    typed = create(model="gpt-transcribe", file=clip(0.5), languages=["de", "en"], response_format="json")
    assert typed.usage.type == "tokens"
    old = create(model="whisper-1", file=clip(1.5), language="de")
    assert old.usage.type == "duration" and old.usage.seconds == 2
    refused(openai.BadRequestError, lambda: create(model="gpt-transcribe", file=clip(0.5), language="de"))
    refused(openai.BadRequestError, lambda: create(model="whisper-1", file=clip(0.5), languages=["de"]))
    refused(openai.BadRequestError, lambda: create(model="whisper-1", file=clip(0.05)))
    refused(openai.RateLimitError, lambda: client(LIMITED).audio.transcriptions.create(model="whisper-1", file=clip(1)))


def speech() -> None:
    def speak(**fields) -> bytes:
        order = {"model": "tts-1", "voice": "alloy", "input": "Hello.", **fields}
        with client().audio.speech.with_streaming_response.create(**order) as response:
            return b"".join(response.iter_bytes())

    samples = speak(response_format="pcm", speed=1.1, instructions="Calmly.")
    assert len(samples) == 2 * int(24000 * 0.68), len(samples)
    assert speak(response_format="wav")[:4] == b"RIFF" and speak()[:3] == b"ID3"
    refused(openai.BadRequestError, lambda: speak(voice="nobody"))
    refused(openai.BadRequestError, lambda: speak(response_format="mulaw"))
    refused(openai.BadRequestError, lambda: speak(input=""))


def elevenlabs() -> None:
    voice = "JBFqnCBsd6RMkjVDRZzb"

    def speak(url: str = URL, key: str = KEY, id: str = voice, **fields) -> bytes:
        eleven = ElevenLabs(base_url=f"{url}/elevenlabs", api_key=key)
        order = {"text": "Hello.", "model_id": "eleven_flash_v2_5", "output_format": "pcm_16000", **fields}
        options = {"max_retries": 0}
        return b"".join(eleven.text_to_speech.stream(id, request_options=options, **order))

    models = ElevenLabs(base_url=f"{URL}/elevenlabs", api_key=KEY).models.list()
    assert "eleven_flash_v2_5" in [model.model_id for model in models]
    assert len(speak(language_code="de", seed=7)) == 2 * int(16000 * 0.68)
    assert len(speak(output_format="ulaw_8000")) == int(8000 * 0.68)
    assert speak(output_format="mp3_44100_128")[:3] == b"ID3"
    refused(ElevenLabsError, lambda: speak(key="wrong"), status_code=401)
    refused(ElevenLabsError, lambda: speak(id="nobody"), status_code=404)
    refused(ElevenLabsError, lambda: speak(model_id="eleven_multilingual_v2", language_code="de"), status_code=400)
    error = refused(ElevenLabsError, lambda: speak(LIMITED), status_code=401)
    assert "quota_exceeded" in str(error.body), error.body


def cartesia() -> None:
    def speak(url: str = URL, key: str = KEY, **fields) -> bytes:
        order = {
            "model_id": "sonic-3",
            "transcript": "Hello.",
            "voice": {"id": "694f9389-aac1-45b6-b726-9d9369183238"},
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16000},
            **fields,
        }
        return Cartesia(base_url=f"{url}/cartesia", api_key=key, max_retries=0).tts.generate(**order).read()

    assert len(speak(language="de")) == 2 * int(16000 * 0.68)
    narrow = {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000}
    assert len(speak(output_format=narrow)) == int(8000 * 0.68)
    refused(CartesiaError, lambda: speak(key="wrong"), status_code=401)
    refused(CartesiaError, lambda: speak(voice={"id": "nobody"}), status_code=404)
    refused(CartesiaError, lambda: speak(LIMITED), status_code=402)


def deepgram() -> None:
    def speak(url: str = URL, key: str = KEY, **fields) -> bytes:
        base = f"{url}/deepgram"
        places = DeepgramClientEnvironment(base=base, production=base, agent=base, agent_rest=base)
        aura = DeepgramClient(api_key=key, environment=places).speak.v1.audio
        order = {"text": "Hello.", "model": "aura-2-thalia-en", "encoding": "linear16", "container": "none", **fields}
        return b"".join(aura.generate(request_options={"max_retries": 0}, **order))

    assert len(speak(sample_rate=16000)) == 2 * int(16000 * 0.68)
    assert len(speak(encoding="mulaw", sample_rate=8000, tag=["a", "b"], speed=1.1)) == int(8000 * 0.68)
    assert speak(sample_rate=16000, container="wav")[:4] == b"RIFF"
    refused(DeepgramError, lambda: speak(key="wrong"), status_code=401)
    refused(DeepgramError, lambda: speak(sample_rate=11025), status_code=400)
    refused(DeepgramError, lambda: speak(LIMITED), status_code=402)


def deepgram_live() -> None:
    def connect(key: str = KEY, model: str = "nova-3", **fields):
        base = f"{LIVE}/deepgram".replace("http", "ws", 1)
        places = DeepgramClientEnvironment(base=base, production=base, agent=base, agent_rest=base)
        listen = DeepgramClient(api_key=key, environment=places).listen.v1
        options = {"interim_results": "true", "punctuate": "true", "endpointing": "false", "language": "en", **fields}
        return listen.connect(model=model, encoding="linear16", sample_rate=8000, channels=1, **options)

    with connect(keyterm=["Ada", "Bob"]) as socket:
        socket.send_keep_alive()
        for frame in SOUND:
            socket.send_media(frame)
        socket.send_finalize()
        results = []
        while not (results and results[-1].from_finalize):
            results.append(socket.recv())
        partial, last = results[0], results[-1]
        assert not partial.is_final and partial.channel.alternatives[0].transcript == "What", partial
        assert last.is_final and last.duration == 1.0, last
        assert last.channel.alternatives[0].transcript == WORDS, last
        socket.send_close_stream()
        assert [message.type for message in socket] == ["Results", "Metadata"]
    unknown = {"request_options": {"additional_query_parameters": {"no_such_field": 1}}}
    for wrong, status in ({"key": "wrong"}, 401), ({"model": "whisper"}, 400), (unknown, 400):
        error = refused(InvalidStatus, connect(**wrong).__enter__)
        assert error.response.status_code == status, error


def aura_live() -> None:
    """Speeches one after the other, the text of the first in pieces, and one that is cleared."""

    def connect(key: str = KEY, model: str = "aura-2-thalia-en", rate: int = 8000, **fields):
        base = f"{LIVE}/deepgram".replace("http", "ws", 1)
        places = DeepgramClientEnvironment(base=base, production=base, agent=base, agent_rest=base)
        speak = DeepgramClient(api_key=key, environment=places).speak.v1
        return speak.connect(model=model, encoding="mulaw", sample_rate=rate, **fields)

    def until(socket, last: str) -> int:
        """The bytes of audio before a message of a type."""
        length = 0
        while True:
            message = socket.recv()
            if isinstance(message, bytes):
                length += len(message)
            elif message.type == last:
                return length
            else:
                assert isinstance(message, SpeakV1Metadata), message

    def text(words: str) -> SpeakV1Text:
        return SpeakV1Text(type="Speak", text=words)

    with connect(speed=1.1) as socket:
        for words in (["We are ", "open."], ["Hello."]):
            for piece in words:
                socket.send_text(text(piece))
            socket.send_flush()
            assert until(socket, "Flushed") == round(8000 * (0.5 + 0.03 * len("".join(words))))
        socket.send_text(text("A long story. " * 130))
        socket.send_flush()
        assert isinstance(socket.recv(), bytes)
        socket.send_clear()
        assert until(socket, "Cleared") < 8000 * 30
        socket.send_text(text("Hello."))
        socket.send_flush()
        assert until(socket, "Flushed") == round(8000 * 0.68)
        for _ in range(16):
            socket.send_flush()
            assert until(socket, "Flushed") == 0
        socket.send_flush()
        assert isinstance(socket.recv(), SpeakV1Warning)
        socket.send_close()
        assert list(socket) == []
    for words, code, reason in (["a" * 2001], 1009, "BIG-0001"), (["a" * 1201] * 2, 1008, "DATA-0001"):
        with connect() as socket:
            for piece in words:
                socket.send_text(text(piece))
            closed = refused(ConnectionClosed, lambda: [until(socket, "Flushed")]).rcvd
            assert (closed.code, closed.reason) == (code, reason), closed
    for wrong, status in ({"key": "wrong"}, 401), ({"model": "tts-1"}, 400), ({"rate": 11025}, 400):
        error = refused(InvalidStatus, connect(**wrong).__enter__)
        assert error.response.status_code == status, error


def flux_live() -> None:
    def connect(key: str = KEY, model: str = "flux-general-multi", **fields):
        base = f"{LIVE}/deepgram".replace("http", "ws", 1)
        places = DeepgramClientEnvironment(base=base, production=base, agent=base, agent_rest=base)
        listen = DeepgramClient(api_key=key, environment=places).listen.v2
        options = {"eager_eot_threshold": 0.5, "eot_threshold": 0.7, "eot_timeout_ms": 5000, **fields}
        return listen.connect(model=model, encoding="linear16", sample_rate=8000, **options)

    def turns(socket, last: str) -> list:
        """The turn's events but for updates, up to one of a name."""
        events = []
        while not (events and events[-1].event == last):
            message = socket.recv()
            assert isinstance(message, ListenV2TurnInfo), message
            if message.event != "Update":
                events.append(message)
        return events

    silence = [bytes(1280)] * 6
    with connect(keyterm=["Ada", "Bob"], language_hint=["en", "de"]) as socket:
        assert socket.recv().type == "Connected"
        for frame in SOUND + silence[:3] + SOUND + silence:
            socket.send_media(frame)
        first = turns(socket, "EndOfTurn")
        names = ["StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EagerEndOfTurn", "EndOfTurn"]
        assert [turn.event for turn in first] == names, first
        start, last = first[0], first[-1]
        assert (start.transcript, start.turn_index) == ("What", 0), start
        assert (last.transcript, last.trigger) == (WORDS, "model"), last
        for frame in SOUND:
            socket.send_media(frame)
        socket.send_force_end_turn()
        forced = turns(socket, "EndOfTurn")[-1]
        assert (forced.transcript, forced.trigger, forced.turn_index) == (WORDS, "manual", 1), forced
        assert forced.words[0].word == "What" and forced.audio_window_end > last.audio_window_end, forced
        socket.send_force_end_turn()
        socket.send_close_stream()
        assert not [message for message in socket if getattr(message, "event", "Update") != "Update"]
    with connect() as socket:
        socket.send_media(b"odd")
        assert [socket.recv().type for _ in range(2)] == ["Connected", "Error"]
    unknown = {"request_options": {"additional_query_parameters": {"no_such_field": 1}}}
    refusals = (
        ({"key": "wrong"}, 401),
        ({"model": "nova-3"}, 400),
        ({"model": "flux-general-en", "language_hint": ["de"]}, 400),
        ({"eager_eot_threshold": 0.8}, 400),
        (unknown, 400),
    )
    for wrong, status in refusals:
        error = refused(InvalidStatus, connect(**wrong).__enter__)
        assert error.response.status_code == status, error


def openai_live() -> None:
    api = openai.OpenAI(base_url=f"{LIVE}/v1", api_key=KEY)
    with api.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        assert connection.recv().type == "session.created"
        transcription = {"model": "gpt-live-transcribe", "languages": ["en"], "keywords": ["Ada"]}
        audio = {"format": {"type": "audio/pcm", "rate": 24000}, "transcription": transcription, "turn_detection": None}
        connection.session.update(session={"type": "transcription", "audio": {"input": audio}})
        assert connection.recv().type == "session.updated"
        connection.input_audio_buffer.commit()
        assert connection.recv().error.code == "input_audio_buffer_commit_empty"
        for frame in SOUND:
            connection.input_audio_buffer.append(audio=base64.b64encode(frame * 3).decode())
        connection.input_audio_buffer.commit()
        deltas, committed = "", None
        for event in connection:
            if event.type == "conversation.item.input_audio_transcription.delta":
                deltas += event.delta
            elif event.type == "input_audio_buffer.committed":
                committed = event.item_id
            elif event.type == "conversation.item.input_audio_transcription.completed":
                assert (event.transcript, event.item_id) == (WORDS, committed), event
                break
        assert WORDS.startswith(deltas) and deltas.startswith("What are"), deltas


def openai_voice() -> None:
    api = openai.OpenAI(base_url=f"{LIVE}/v1", api_key=KEY)
    with api.realtime.connect(model="gpt-realtime-2.1") as connection:
        assert connection.recv().type == "session.created"
        pcm = {"type": "audio/pcm", "rate": 24000}
        audio = {
            "input": {"format": pcm, "transcription": {"model": "gpt-transcribe"}, "turn_detection": None},
            "output": {"format": pcm, "voice": "marin"},
        }
        connection.session.update(session={"type": "realtime", "output_modalities": ["audio"], "audio": audio})
        assert connection.recv().type == "session.updated"
        connection.response.cancel()
        assert connection.recv().error.code == "response_cancel_not_active"
        for frame in SOUND:
            connection.input_audio_buffer.append(audio=base64.b64encode(frame * 3).decode())
        connection.input_audio_buffer.commit()
        note = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}
        connection.conversation.item.create(previous_item_id="root", item={**note, "id": "vca_1"})
        connection.response.create()
        sound, words, item = 0, "", None
        for event in connection:
            if event.type == "conversation.item.input_audio_transcription.completed":
                assert event.transcript == WORDS, event
            elif event.type == "response.output_audio_transcript.delta":
                words, item = words + event.delta, event.item_id
            elif event.type == "response.output_audio.delta":
                sound += len(base64.b64decode(event.delta)) // 48
            elif event.type == "response.done":
                assert event.response.status == "completed" and event.response.usage.output_token_details.audio_tokens
                break
        assert words.startswith("Certainly.") and sound == 4000, (words, sound)
        connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=sound + 1)
        assert connection.recv().error.code == "invalid_value"
        connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=1500)
        assert connection.recv().audio_end_ms == 1500
        connection.conversation.item.delete(item_id="vca_1")
        assert connection.recv().type == "conversation.item.deleted"


async def scribe() -> None:
    realtime = ElevenLabs(base_url=f"{LIVE}/elevenlabs", api_key=KEY).speech_to_text.realtime
    options = {"model_id": "scribe_v2_realtime", "audio_format": AudioFormat.PCM_8000, "sample_rate": 8000}
    connection = await realtime.connect({**options, "commit_strategy": CommitStrategy.MANUAL, "language_code": "en"})
    partials, committed = [], asyncio.get_running_loop().create_future()
    connection.on(RealtimeEvents.PARTIAL_TRANSCRIPT, lambda data: partials.append(data["text"]))
    connection.on(RealtimeEvents.COMMITTED_TRANSCRIPT, lambda data: committed.set_result(data["text"]))
    for frame in SOUND:
        await connection.send({"audio_base_64": base64.b64encode(frame).decode()})
    await connection.commit()
    assert await asyncio.wait_for(committed, 10) == WORDS and partials[0] == "What", partials
    await connection.close()


def elevenlabs_live() -> None:
    asyncio.run(scribe())


def cartesia_live() -> None:
    """Two contexts of one connection, the text of each in pieces, and the times of its words."""
    base = f"{LIVE}/cartesia"
    client = Cartesia(base_url=base, websocket_base_url=base.replace("http", "ws", 1), api_key=KEY, max_retries=0)
    narrow = {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000}
    voice = {"mode": "id", "id": "694f9389-aac1-45b6-b726-9d9369183238"}
    with client.tts.websocket_connect() as connection:
        for pieces in (["Hel", "lo."], ["We are ", "open."]):
            terms = {"voice": voice, "output_format": narrow, "max_buffer_delay_ms": 0, "add_timestamps": True}
            context = connection.context(model_id="sonic-3", **terms)
            for piece in pieces:
                context.push(piece)
            context.no_more_inputs()
            events = list(context.receive())
            audio = b"".join(event.audio for event in events if event.type == "chunk")
            assert len(audio) == round(8000 * (0.5 + 0.03 * len("".join(pieces)))), len(audio)
            times = [event.word_timestamps for event in events if event.type == "timestamps"]
            assert [word for part in times for word in part.words] == "".join(pieces).strip(".").split(), times
            ends = [end for part in times for end in part.end]
            assert ends == sorted(ends) and ends[-1] <= len(audio) / 8000, ends
        broken = connection.context(model_id="sonic-3", voice={"mode": "id", "id": "nobody"}, output_format=narrow)
        broken.push("Hello.", continue_=False)
        assert [event.type for event in broken.receive()] == ["error"]


for run in (chat, responses, claude, transcription, speech, elevenlabs, cartesia, deepgram):
    run()
for run in (deepgram_live, aura_live, flux_live, openai_live, openai_voice, elevenlabs_live, cartesia_live):
    run()
print("done")
