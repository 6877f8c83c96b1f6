"""What somebody speaks in tests and in the demo, and whether that is what was heard. Standard library only."""
import array
import itertools
import math
import wave

RATE = 8000


def melody(path, notes, seconds=1.2):
    """Writes a WAV of notes that change, and is never silent; its samples."""
    n = int(RATE * seconds)
    samples = array.array("h", (int(9000 * math.sin(2 * math.pi * notes[i * len(notes) // n] * i / RATE)) for i in range(n)))
    samples = array.array("h", (x if abs(x) > 8 else 8 for x in samples))
    with wave.open(str(path), "wb") as w:
        w.setparams((1, 2, RATE, 0, "NONE", ""))
        w.writeframes(samples.tobytes())
    return samples


def samples_of(path):
    with wave.open(str(path), "rb") as w:
        if w.getparams()[:3] != (1, 2, RATE):
            raise ValueError(f"{path}: not 8 kHz, 16 bits, mono")
        return array.array("h", w.readframes(w.getnframes()))


def ulaw(sample):
    """A sample as it is after G.711 u-law (ITU-T G.711, table 2b)."""
    sign, x = (-1, -sample) if sample < 0 else (1, sample)
    x = min(x, 32635) + 132
    segment = x.bit_length() - 8
    return sign * ((((x >> segment + 3 & 15) << 3) + 132 << segment) - 132)


def without_silence(samples):
    """Without what lasts 20 ms: a sender that a busy machine held up has such holes."""
    kept = array.array("h")
    for is_silent, run in itertools.groupby(samples, lambda x: x == 0):
        run = array.array("h", run)
        if not is_silent or len(run) < RATE // 50:
            kept += run
    return kept


def holds(heard, spoken):
    """Whether the spoken samples, through u-law, are in what was heard, all of them, one after the other."""
    octets, want = without_silence(heard).tobytes(), array.array("h", map(ulaw, spoken)).tobytes()
    at = octets.find(want)
    while at > 0 and at % 2 == 1:
        at = octets.find(want, at + 1)
    return at >= 0
