/* Events and sentences. */
#include "bti/say.h"

#include <inttypes.h>
#include <stdarg.h>

enum { LINE_MAX_OCTETS = 1024 };

struct fact fact_text(const char *key, const char *text)
{
    return fact_view(key, view_of(text));
}

struct fact fact_view(const char *key, struct view text)
{
    return (struct fact){.key = key, .kind = FACT_TEXT, .text = text};
}

struct fact fact_number(const char *key, uint64_t n)
{
    return (struct fact){.key = key, .kind = FACT_NUMBER, .number = n};
}

struct fact fact_flag(const char *key, bool yes)
{
    return (struct fact){.key = key, .kind = FACT_FLAG, .number = yes};
}

void say_json_text(FILE *to, struct view v)
{
    fputc('"', to);
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c == '"' || c == '\\') {
            fprintf(to, "\\%c", c);
        } else if (c < 0x20 || c > 0x7e) {
            fprintf(to, "\\u%04x", (unsigned)c);
        } else {
            fputc(c, to);
        }
    }
    fputc('"', to);
}

static void put_fact(FILE *to, const struct fact *f)
{
    fprintf(to, ",\"%s\":", f->key);
    switch (f->kind) {
    case FACT_TEXT:
        say_json_text(to, f->text);
        break;
    case FACT_NUMBER:
        fprintf(to, "%" PRIu64, f->number);
        break;
    case FACT_FLAG:
        fputs(f->number != 0 ? "true" : "false", to);
        break;
    }
}

static void put_json(FILE *to, const char *event, const struct fact *f, size_t n)
{
    fprintf(to, "{\"event\":\"%s\"", event);
    for (size_t i = 0; i < n; i++) {
        put_fact(to, &f[i]);
    }
    fputs("}\n", to);
    fflush(to);
}

/* A peer's text must not drive the terminal. */
__attribute__((format(printf, 3, 0))) static void put_line(FILE *to, const char *before,
                                                           const char *fmt, va_list ap)
{
    char line[LINE_MAX_OCTETS];

    vsnprintf(line, sizeof line, fmt, ap);
    for (char *c = line; *c != 0; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    fprintf(to, "%s%s\n", before, line);
    fflush(to);
}

void say_event(const struct say *s, const char *event, const struct fact *f, size_t n,
               const char *fmt, ...)
{
    va_list ap;

    if (s->machine) {
        put_json(s->to, event, f, n);
        return;
    }
    va_start(ap, fmt);
    put_line(s->to, "", fmt, ap);
    va_end(ap);
}

int say_failed(const struct say *s, enum bti_exit code, const char *fmt, ...)
{
    char text[LINE_MAX_OCTETS];
    va_list ap;

    va_start(ap, fmt);
    put_line(stderr, "bti: ", fmt, ap);
    va_end(ap);
    if (s->machine) {
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        put_json(s->to, "failed", FACTS(fact_number("exit", code), fact_text("text", text)));
    }
    return (int)code;
}

void say_warn(const struct say *s, const char *fmt, ...)
{
    va_list ap;

    (void)s;
    va_start(ap, fmt);
    put_line(stderr, "bti: ", fmt, ap);
    va_end(ap);
}
