/* base/httpd_head.h - the strict reading of an HTTP/1.1 request head and of chunked bodies (RFC
 * 9112), over octets in memory. Both ends of a connection must agree where a request ends: whatever
 * two readers could read in two ways is refused.
 *
 * Lines      end in CRLF, each; no line is folded, no octet but SP, HTAB and 0x21 to 0x7E.
 * Target     origin-form; %00, %2F, encoded controls, "." and ".." segments have no place in a
 * path. Answers    0, or the status of the refusal (400, 414, 417, 431, 505) with `why` in words
 * that hold nothing of the request. Ownership  views point into the octets given. Threads: pure. */
#ifndef BASE_HTTPD_HEAD_H
#define BASE_HTTPD_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

enum { HTTP_HEAD_MAX = 16384, HTTP_LINE_MAX = 8192, HTTP_FIELDS_MAX = 100 };

struct http_field {
    struct view name, value;
};

struct http_head {
    struct view method, target, path, query; /* query: without '?' */
    unsigned minor;                          /* HTTP/1.minor: 0 or 1 */
    bool is_chunked, has_length, expects;    /* expects: 100-continue */
    bool closes;                             /* HTTP/1.0, or Connection: close */
    uint64_t length;                         /* Content-Length; 0 without */
    size_t n_fields;
    struct http_field field[HTTP_FIELDS_MAX];
};

/* Looks for the end of the head in octets that grow: *at (0 at first) is how far it has looked.
 * *out_n: octets of the head with its empty line; 0: not all here yet. */
unsigned http_head_end(struct view octets, size_t *at, size_t *out_n, const char **why);
/* A whole head, as http_head_end() found it. */
unsigned http_head_read(struct view octets, struct http_head *out, const char **why);
/* The first field of that name, without regard to case; empty: none. */
struct view http_head_field(const struct http_head *h, struct view name);

struct http_chunked { /* zero at first */
    unsigned state, digits;
    uint64_t left;     /* of the chunk */
    size_t line, over; /* octets of this line; of everything that is no data */
    bool is_done;
};
/* Reads on: *used octets are dealt with, and *data (maybe empty) of them is body. Called again with
 * the rest, until all is used or is_done. */
unsigned http_chunked_read(struct http_chunked *c, struct view octets, size_t *used,
                           struct view *data, const char **why);

#endif
