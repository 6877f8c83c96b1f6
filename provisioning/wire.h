/* provisioning/wire.h - frames and fields of the control channel between BTI and PS.
 *
 * Wire       docs/protocol.md "Frames": version(1) | type(1) | body length(2, network order) |
 * body. A plain body (and the plaintext of a sealed one) is a row of fields: code(2) | length(2) |
 * value; bit 15 of the code says critical; codes strictly ascend, so none repeats. Seed: steps
 * 302-310. Ownership  readers return views into the frame. Errors: E_PARSE, E_RANGE (limits),
 * E_STATE (more octets are needed). Threads: pure. */
#ifndef PROVISIONING_WIRE_H
#define PROVISIONING_WIRE_H

#include "base/view.h"

#define WIRE_VERSION   1
#define WIRE_HEAD      4
#define WIRE_BODY_MAX  16384
#define WIRE_FRAME_MAX (WIRE_HEAD + WIRE_BODY_MAX)
#define WIRE_CRITICAL  0x8000

#define WIRE_FIELD_HEAD 4

enum wire_type {
    WIRE_YO = 1,          /* 302 BTI -> PS, plain */
    WIRE_OFFER = 2,       /* 303 PS -> BTI, plain, binds the transcript */
    WIRE_KEYS = 3,        /* 304 BTI -> PS */
    WIRE_PROOF = 4,       /* 305 PS -> BTI, sealed */
    WIRE_AUTH_RESULT = 5, /* 309 PS -> BTI, sealed */
    WIRE_USER_KEY = 6,    /* 310 BTI -> PS, sealed */
    WIRE_DONE = 7,        /* 310 PS -> BTI, sealed */
    WIRE_ERROR = 8,       /* plain: before SK exists */
    WIRE_ERROR_SEALED = 9,
    WIRE_SESSION_REQUEST = 16,
    WIRE_SESSION_ANSWER = 17 /* sealed */
};

/* Field codes (without the critical bit). Every field of version 1 is critical. */
enum wire_field {
    WF_MODE = 1,        /* 1: enum wire_mode */
    WF_SUITES = 2,      /* 1..8 octets, best first */
    WF_CALL_ID = 3,     /* 1..255 octets; enrolment only */
    WF_RANDOM = 4,      /* 32 */
    WF_EPHEMERAL = 5,   /* 65: P-256 point */
    WF_TRANSCRIPT = 6,  /* 32: SHA-256 of all frames before this one */
    WF_SUITE = 7,       /* 1 */
    WF_CHAIN = 8,       /* certificates: { length(2) | DER } x 1..5, leaf first */
    WF_HPKE_ENC = 9,    /* 65 */
    WF_HPKE_CT = 10,    /* 48: K sealed; session request: sealed fields */
    WF_WRAPPED = 11,    /* {SK, AK, N0}_K and tag: 112 */
    WF_INFO_CT = 12,    /* {info}_SK and tag */
    WF_N0 = 20,         /* 32 */
    WF_N1 = 21,         /* 32 */
    WF_N2 = 22,         /* 32 */
    WF_MAC_ADDR = 30,   /* 6 */
    WF_IP = 31,         /* 4 or 16 */
    WF_MODEL = 32,      /* 0..63 octets UTF-8 */
    WF_SOFTWARE = 33,   /* 0..63 */
    WF_VERDICT = 40,    /* 1: enum wire_verdict */
    WF_TRIES_LEFT = 41, /* 1 */
    WF_KEY_KIND = 50,   /* 1: enum wire_key_kind */
    WF_USER_KEY = 51,   /* 65 point, or 64 random octets */
    WF_POSSESSION = 52, /* 64 ECDSA r||s, or 32 HMAC */
    WF_BTI_ID = 60,     /* 16 */
    WF_NUMBERS = 61,    /* strings: { length(1) | octets } x 0..8 */
    WF_GATES = 62,      /* strings x 1..4: host:port */
    WF_SERVERS = 63,    /* strings x 0..4: host:port of provisioning servers */
    WF_CODE = 70,       /* 2: enum wire_code */
    WF_TEXT = 71,       /* 0..127 octets, ASCII */
    WF_FORM = 80,       /* 1: enum wire_form */
    WF_SECRET = 81,     /* 32 */
    WF_TIME = 82,       /* 8: microseconds since 1970 */
    WF_COUNTER = 83,    /* 8 */
    WF_GATE_NAME = 84,  /* 1..255 octets */
    WF_NONCE = 85,      /* 12 */
    WF_KID = 86,        /* 16 */
    WF_LIFETIME = 87,   /* 4: seconds */
    WF_SIGNATURE = 90,  /* 64 */
    WF_MAC = 91         /* 32 */
};

enum wire_mode { WIRE_MODE_ENROL = 1, WIRE_MODE_SESSION = 2 };
enum wire_suite { SUITE_128 = 1, SUITE_256 = 2 }; /* AES-128-GCM, AES-256-GCM */
enum wire_verdict { VERDICT_ACCEPTED = 1, VERDICT_WRONG = 2, VERDICT_LOCKED = 3 };
enum wire_key_kind { KEY_P256 = 1, KEY_SYMMETRIC = 2 };
enum wire_form { FORM_SIGNED = 1, FORM_LTK = 2 };

#define WIRE_CODE_LIST(X)                                                                          \
    X(CODE_OK, 0, "ok")                                                                            \
    X(CODE_MALFORMED, 1, "malformed frame")                                                        \
    X(CODE_ORDER, 2, "frame out of order")                                                         \
    X(CODE_TOO_LONG, 3, "frame too long")                                                          \
    X(CODE_CRITICAL, 4, "unknown critical field")                                                  \
    X(CODE_SUITE, 5, "no common suite")                                                            \
    X(CODE_CRYPTO, 6, "cryptographic check failed")                                                \
    X(CODE_TRANSCRIPT, 7, "transcript does not agree")                                             \
    X(CODE_CERTIFICATE, 8, "provisioning server not trusted")                                      \
    X(CODE_CALL, 9, "no such provisioning call")                                                   \
    X(CODE_ADDRESS, 10, "addresses do not agree")                                                  \
    X(CODE_TIMEOUT, 11, "no progress in time")                                                     \
    X(CODE_LOCKED, 12, "too many wrong tries")                                                     \
    X(CODE_BUSY, 13, "try again later")                                                            \
    X(CODE_INTERNAL, 14, "internal error")                                                         \
    X(CODE_REVOKED, 20, "key revoked")                                                             \
    X(CODE_BARRED, 21, "account barred")                                                           \
    X(CODE_STALE, 22, "time or counter stale")                                                     \
    X(CODE_UNKNOWN, 23, "not enrolled here")

#define WIRE_CODE_ENUM(id, value, text) id = (value),
enum wire_code { WIRE_CODE_LIST(WIRE_CODE_ENUM) };
#undef WIRE_CODE_ENUM
const char *wire_code_text(uint16_t code); /* "unknown code" for others */

/* Cuts one whole frame off the front of `buffered`: *out_n octets with its head. E_STATE: not
 * complete yet; E_RANGE: body over 16 KiB; E_PARSE: version. */
MUST_CHECK enum err wire_cut(struct view buffered, size_t *out_n);
/* A whole frame -> type and body. E_PARSE when the length is not exactly the frame's. */
MUST_CHECK enum err wire_open(struct view frame, uint8_t *out_type, struct view *out_body);

/* Appends to a caller's buffer; the first failure sticks, so check once at the end. */
struct wire_out {
    uint8_t *b;
    size_t n, max;
    bool full;
};
void wire_begin(struct wire_out *w, uint8_t *buf, size_t max, enum wire_type type);
/* Fills in the body length. E_RANGE when anything did not fit. */
MUST_CHECK enum err wire_end(struct wire_out *w);
void wire_raw(struct wire_out *w, const void *p, size_t n);
void wire_put(struct wire_out *w, enum wire_field f, const void *p, size_t n);
void wire_put_u(struct wire_out *w, enum wire_field f, uint64_t v, size_t octets); /* 1..8 */

/* Reads fields in order. wire_get() skips unknown non-critical fields, and fails E_DENIED on an
 * unknown critical one, E_PARSE when the next known field is not `f` or not min..max octets, or
 * when codes do not ascend. */
MUST_CHECK enum err wire_get(struct view *body, enum wire_field f, size_t min, size_t max,
                             struct view *out);
MUST_CHECK enum err wire_get_u(struct view *body, enum wire_field f, size_t octets, uint64_t *out);
/* True when the next known field is f. */
bool wire_next_is(struct view body, enum wire_field f);
/* Nothing but unknown non-critical fields is left; E_DENIED, E_PARSE. */
MUST_CHECK enum err wire_finish(struct view body);

/* What one feed of a state machine gives back: octets to send (one or no frame) and an event. */
struct enrol_out {
    int event;  /* 0: none; else the machine's own enum */
    bool ended; /* the machine takes no more frames: send what is here, then close */
    size_t n;   /* octets to send */
    uint8_t b[WIRE_FRAME_MAX];
};

/* Random source: NULL in a cfg means crypto_random. Given only by tests and vectors. */
typedef enum err (*wire_random_fn)(void *arg, void *dst, size_t n);

#endif
