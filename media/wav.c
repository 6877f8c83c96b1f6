#include "media/wav.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "media/g711.h"

enum { RIFF_HEAD = 12, CHUNK_HEAD = 8, FMT_MIN = 16, FORMAT_PCM = 1, FORMAT_ULAW = 7, RATE = 8000 };
enum { FILE_MAX = WAV_MAX_SAMPLES * 2 + 65536, OUT_HEAD = 44 };

static uint32_t little(const char *p, unsigned octets)
{
    uint32_t v = 0;

    for (unsigned i = octets; i > 0; i--) {
        v = v << 8 | (uint8_t)p[i - 1];
    }
    return v;
}

static void put_little(uint8_t *p, uint32_t v, unsigned octets)
{
    for (unsigned i = 0; i < octets; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

struct chunks {
    struct view fmt, data;
};

static enum err find_chunks(struct view file, struct chunks *out)
{
    struct chunks c = {0};
    size_t at = RIFF_HEAD;

    if (file.n < RIFF_HEAD || !view_starts(file, VIEW("RIFF")) ||
        !view_eq(view_sub(file, 8, 4), VIEW("WAVE"))) {
        return FAIL(E_PARSE);
    }
    while (c.data.p == NULL && file.n - at >= CHUNK_HEAD) {
        struct view id = view_sub(file, at, 4);
        size_t n = little(file.p + at + 4, 4);
        at += CHUNK_HEAD;
        if (n > file.n - at) {
            return FAIL(E_PARSE);
        }
        if (view_eq(id, VIEW("fmt "))) {
            c.fmt = view_sub(file, at, n);
        } else if (view_eq(id, VIEW("data"))) {
            c.data = view_sub(file, at, n);
        }
        at += n + (n & 1); /* chunks are padded to even */
        if (at > file.n) {
            break;
        }
    }
    if (c.fmt.n < FMT_MIN || c.data.p == NULL) {
        return FAIL(E_PARSE);
    }
    *out = c;
    return E_OK;
}

static enum err decode(struct view data, uint32_t format, struct wav *out)
{
    struct wav w = {.n = format == FORMAT_ULAW ? data.n : data.n / 2};

    if (w.n > (size_t)WAV_MAX_SAMPLES) {
        return FAIL(E_RANGE);
    }
    w.pcm = mem_zalloc((w.n + 1) * sizeof w.pcm[0]);
    if (w.pcm == NULL) {
        return FAIL(E_NOMEM);
    }
    for (size_t i = 0; i < w.n; i++) {
        w.pcm[i] = format == FORMAT_ULAW ? ulaw_to_linear((uint8_t)data.p[i])
                                         : (int16_t)(uint16_t)little(data.p + 2 * i, 2);
    }
    *out = w;
    return E_OK;
}

enum err wav_parse(struct view file, struct wav *out)
{
    struct chunks c = {0};
    enum err e = find_chunks(file, &c);
    uint32_t format = 0, bits = 0;

    if (e != E_OK) {
        return e;
    }
    format = little(c.fmt.p, 2);
    bits = little(c.fmt.p + 14, 2);
    if (little(c.fmt.p + 2, 2) != 1 || little(c.fmt.p + 4, 4) != RATE ||
        !((format == FORMAT_PCM && bits == 16) || (format == FORMAT_ULAW && bits == 8))) {
        return FAIL(E_DENIED);
    }
    return decode(c.data, format, out);
}

static enum err read_all(FILE *f, char *buf, size_t max, size_t *out_n)
{
    size_t n = fread(buf, 1, max, f);

    if (ferror(f) != 0) {
        return FAIL(E_IO);
    }
    if (n == max) {
        return FAIL(E_RANGE);
    }
    *out_n = n;
    return E_OK;
}

enum err wav_load(const char *path, struct wav *out)
{
    FILE *f = fopen(path, "rbe");
    char *buf = NULL;
    size_t n = 0;
    enum err e = E_OK;

    if (f == NULL) {
        return FAIL(errno == ENOENT ? E_NOTFOUND : E_IO);
    }
    buf = mem_zalloc(FILE_MAX);
    if (buf == NULL) {
        e = FAIL(E_NOMEM);
        goto out;
    }
    TRY(read_all(f, buf, FILE_MAX, &n));
    TRY(wav_parse(view_from(buf, n), out));
out:
    mem_free(buf);
    fclose(f);
    return e;
}

void wav_free(struct wav *w)
{
    mem_free(w->pcm);
    *w = (struct wav){0};
}

static enum err write_head(struct wav_out *w)
{
    static const uint8_t start[OUT_HEAD] = "RIFF....WAVEfmt ....................data";
    uint8_t h[OUT_HEAD];
    uint32_t bytes = w->samples * 2;

    memcpy(h, start, sizeof h);
    put_little(h + 4, OUT_HEAD - CHUNK_HEAD + bytes, 4);
    put_little(h + 16, FMT_MIN, 4);
    put_little(h + 20, FORMAT_PCM, 2);
    put_little(h + 22, 1, 2);
    put_little(h + 24, RATE, 4);
    put_little(h + 28, RATE * 2, 4);
    put_little(h + 32, 2, 2);
    put_little(h + 34, 16, 2);
    put_little(h + 40, bytes, 4);
    return fwrite(h, 1, sizeof h, w->f) == sizeof h ? E_OK : FAIL(E_IO);
}

enum err wav_begin(const char *path, struct wav_out *out)
{
    struct wav_out w = {.f = fopen(path, "wbe")};

    if (w.f == NULL) {
        return FAIL(E_IO);
    }
    if (write_head(&w) != E_OK) {
        fclose(w.f);
        return FAIL(E_IO);
    }
    *out = w;
    return E_OK;
}

enum err wav_add(struct wav_out *w, const int16_t *pcm, size_t n)
{
    if (n > WAV_MAX_SAMPLES - w->samples) {
        return FAIL(E_RANGE);
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t b[2];
        put_little(b, (uint16_t)pcm[i], 2);
        if (fwrite(b, 1, 2, w->f) != 2) {
            return FAIL(E_IO);
        }
    }
    w->samples += (uint32_t)n;
    return E_OK;
}

enum err wav_end(struct wav_out *w)
{
    enum err e = fseek(w->f, 0, SEEK_SET) == 0 ? write_head(w) : FAIL(E_IO);

    if (fclose(w->f) != 0 && e == E_OK) {
        e = FAIL(E_IO);
    }
    w->f = NULL;
    return e;
}
