/* base/conf.h - YAML configuration into a struct, by a table. The only door to libcyaml/libyaml.
 *
 * Shape      a file is a map of sections, each a map of scalars or lists of scalars:
 *                sip:
 *                  listen: ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]
 *            A conf_field names its place as "section.key".
 * Errors     unknown or repeated section or key, wrong type, out of range, an alias, a second
 *            document, a NUL in a text: E_PARSE/E_RANGE and a text "file:line:column: what" in
 *            err_text. Nothing is written on error.
 * Limits     256 KiB of file, 64 elements of a list, 4096 octets of a referenced file.
 * Secrets    a CONF_TEXT value may be "${file:/path}": replaced by that file's content (trimmed of
 * one final newline) unless the field is CONF_PATH. --print-config prints such values as they stand
 * in the file, never the content; conf_free() wipes it. Ownership  strings live in the struct conf;
 * conf_free() ends them. Threads: load in one thread. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum conf_type {
    CONF_TEXT, /* const char * ; never NULL when a default is given */
    CONF_PATH, /* const char * ; relative to the configuration file's folder when not absolute */
    CONF_UINT, /* uint64_t, min..max */
    CONF_BOOL, /* bool */
    CONF_LIST, /* struct conf_list of texts; default is a comma-separated text */
    CONF_MS    /* uint64_t milliseconds: "250ms", "5s", "3m", "24h" */
};

struct conf_list {
    size_t n;
    const char *const *v;
};

struct conf_field {
    const char *name; /* "section.key" */
    enum conf_type type;
    size_t offset;        /* in the caller's struct */
    const char *fallback; /* text form of the default; NULL = required */
    uint64_t min, max;    /* CONF_UINT, CONF_MS (ms), CONF_LIST (element count); max 0 = no bound */
    const char *doc;      /* one line, for --print-config and the manual */
};

struct conf; /* owns the strings */

/* path NULL: defaults only. `into` is the caller's struct, as large as the offsets need. */
MUST_CHECK enum err conf_load(const char *path, const struct conf_field *fields, size_t n,
                              void *into, char *err_text, size_t err_text_bytes, struct conf **out);
void conf_print(const struct conf *c,
                FILE *to); /* YAML with defaults filled in and docs as comments */
void conf_free(struct conf *c);

#endif
