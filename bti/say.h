/* bti/say.h - what the program tells: a plain sentence for people, or with --machine one JSON
 * object a line, {"event":NAME,...}. Names, fields and exit codes are interface (bti(1)).
 *
 * Whatever came from a peer is shown with control octets replaced. There is no fact for a secret.
 * Threads: one. */
#ifndef BTI_SAY_H
#define BTI_SAY_H

#include <stdio.h>

#include "base/view.h"

enum bti_exit {
    BTI_EXIT_OK = 0,
    BTI_EXIT_FAILED = 1,      /* something on this side: a file, memory, a socket */
    BTI_EXIT_REFUSED = 3,     /* enrolment or session refused: work order, lock-out, revoked */
    BTI_EXIT_CERTIFICATE = 4, /* the provisioning server is not trusted */
    BTI_EXIT_UNREACHABLE = 5, /* nobody answered, or try again later */
    BTI_EXIT_NO_STORE = 6,    /* not enrolled, or the store cannot be opened */
    BTI_EXIT_NOT_TAKEN = 7,   /* busy, declined, not answered */
    BTI_EXIT_NO_NUMBER = 8,   /* no such number */
    BTI_EXIT_DENIED = 9,      /* the gate controller does not permit the call */
    BTI_EXIT_GAVE_UP = 10,    /* interrupted before there was anything to end */
    BTI_EXIT_USAGE = 64
};

struct say {
    bool machine;
    FILE *to;
};

struct fact {
    const char *key;
    enum { FACT_TEXT, FACT_NUMBER, FACT_FLAG } kind;
    struct view text;
    uint64_t number;
};
struct fact fact_text(const char *key, const char *text);
struct fact fact_view(const char *key, struct view text);
struct fact fact_number(const char *key, uint64_t n);
struct fact fact_flag(const char *key, bool yes);

/* Two arguments of say_event(): at least one fact. */
#define FACTS(...)                                                                                 \
    (const struct fact[]){__VA_ARGS__},                                                            \
        sizeof((const struct fact[]){__VA_ARGS__}) / sizeof(struct fact)

void say_event(const struct say *s, const char *event, const struct fact *f, size_t n,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* A sentence on stderr, with --machine also the event "failed". Returns code. */
int say_failed(const struct say *s, enum bti_exit code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A sentence on stderr that ends nothing. */
void say_warn(const struct say *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* JSON string with its quotes. Octets above 0x7e become \u00xx, so that the line is JSON whatever
 * came. */
void say_json_text(FILE *to, struct view v);

#endif
