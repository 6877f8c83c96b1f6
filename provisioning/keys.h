/* provisioning/keys.h - the key schedule and the transcript of one control channel.
 *
 * Standard   RFC 5869 HKDF-SHA-256; labels and order: docs/protocol.md "Key schedule".
 * Shape      struct channel is one side of one connection: running transcript hash, ECDH secret,
 *            AEAD keys and frame counters per direction. "up" is BTI -> PS.
 * Errors     E_CRYPTO, E_AUTH. Wipe with channel_wipe(). Threads: one at a time. */
#ifndef PROVISIONING_KEYS_H
#define PROVISIONING_KEYS_H

#include "authz/session_blob.h"
#include "provisioning/wire.h"

#define NONCE_BYTES 32 /* N0, N1, N2, client and server random, K, SK, AK */

enum way { WAY_UP, WAY_DOWN };

struct aead_way { /* one direction's key, nonce mask and next frame number */
    struct secret key;
    uint8_t iv[GCM_NONCE_BYTES];
    uint64_t count;
};

struct channel {
    struct sha256_ctx *transcript;
    struct secret ecdh;
    enum wire_suite suite;
    struct aead_way way[2];
    bool keyed; /* way[] holds keys */
};

struct audio_keys { /* SRTP AEAD_AES_256_GCM (RFC 7714): 32-octet key, 12-octet salt */
    struct secret up_key, up_salt, down_key, down_salt;
};

struct ltk { /* the 512 long-term bits: four 128-bit keys */
    struct secret enc_up, mac_up, enc_down, mac_down;
};

MUST_CHECK enum err channel_init(struct channel *c);
void channel_wipe(struct channel *c);
MUST_CHECK enum err channel_add(struct channel *c, struct view frame);
MUST_CHECK enum err channel_hash(const struct channel *c, uint8_t out[SHA256_BYTES]);
size_t suite_key_bytes(enum wire_suite s); /* 16 or 32 */

/* HKDF: PRK = Extract(salt, secret || ecdh); label: expand with "headgate v1 " || label. */
MUST_CHECK enum err keys_extract(const uint8_t salt[SHA256_BYTES], const struct secret *a,
                                 const struct secret *b, struct secret *out_prk);
MUST_CHECK enum err keys_expand(const struct secret *prk, const char *label, size_t n,
                                struct secret *out);
/* One direction from PRK: "<label> key" and "<label> iv". */
MUST_CHECK enum err keys_way(const struct secret *prk, const char *label, enum wire_suite s,
                             struct aead_way *out);
/* SK -> the channel's two directions; AK -> audio; SK -> LTK. `hash` is the transcript. */
MUST_CHECK enum err keys_channel(struct channel *c, const struct secret *sk,
                                 const uint8_t hash[SHA256_BYTES]);
MUST_CHECK enum err keys_audio(const struct channel *c, const struct secret *ak,
                               const uint8_t hash[SHA256_BYTES], struct audio_keys *out);
MUST_CHECK enum err keys_ltk(const struct channel *c, const struct secret *sk,
                             const uint8_t hash[SHA256_BYTES], struct ltk *out);
MUST_CHECK enum err keys_session(const struct channel *c, const struct secret *session_secret,
                                 const uint8_t hash[SHA256_BYTES], struct session_keys *out);
void audio_keys_wipe(struct audio_keys *k);
void ltk_wipe(struct ltk *k);
void session_keys_wipe(struct session_keys *k);

/* Seals / opens under one direction; AAD = transcript hash | version | type; nonce = iv XOR count.
 * The counter moves only on success. out: pt.n + 16, or ct.n - 16 octets. */
MUST_CHECK enum err aead_seal(struct aead_way *w, const uint8_t hash[SHA256_BYTES], uint8_t type,
                              struct view pt, uint8_t *out);
MUST_CHECK enum err aead_open(struct aead_way *w, const uint8_t hash[SHA256_BYTES], uint8_t type,
                              struct view ct, uint8_t *out);

/* Whole sealed frames over the channel: the plaintext is a row of fields. seal adds the frame to
 * the transcript; open does so after it verified. pt buffers are the caller's to wipe. */
MUST_CHECK enum err channel_seal(struct channel *c, enum way w, enum wire_type type,
                                 struct view fields, uint8_t *frame, size_t max, size_t *out_n);
MUST_CHECK enum err channel_open(struct channel *c, enum way w, struct view frame, uint8_t *pt,
                                 size_t *out_n);
/* An error frame: sealed when the channel has keys. */
MUST_CHECK enum err channel_error(struct channel *c, enum way w, uint16_t code, uint8_t *frame,
                                  size_t max, size_t *out_n);
/* Reads one; E_AUTH: not authentic (a plain one after keys exist counts as that). Never CODE_OK. */
MUST_CHECK enum err channel_error_read(struct channel *c, enum way w, struct view frame,
                                       uint16_t *out_code);
/* Which error code answers which failure of a feed. */
uint16_t code_of(enum err e);

#endif
