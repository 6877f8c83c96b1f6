/* The key store, its container, session slots: what a thief, a crash or a typing error does to
 * them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "bti/slot.h"
#include "bti/store.h"

static struct {
    char dir[64], store[96], pass[96], other[96];
} t;

static void write_text(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
    (void)state;
    strcpy(t.dir, "/tmp/btistoreXXXXXX");
    assert_non_null(mkdtemp(t.dir));
    snprintf(t.store, sizeof t.store, "%s/s", t.dir);
    snprintf(t.pass, sizeof t.pass, "%s/pass", t.dir);
    snprintf(t.other, sizeof t.other, "%s/other", t.dir);
    write_text(t.pass, "correct horse\nnot this line\n", 0600);
    write_text(t.other, "wrong horse", 0600);
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"s",           "s.lock",      "s.pending",   "s.session-1",
                                        "s.session-2", "s.session-3", "s.session-4", "pass",
                                        "other",       "link"};
    char name[128];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(name, sizeof name, "%s/%s", t.dir, names[i]);
        unlink(name);
    }
    return rmdir(t.dir); /* nothing else may be left behind */
}

static void set16(struct secret *s, char c)
{
    s->n = 16;
    memset(s->b, c, 16);
}

static void fill(struct store_data *d, enum wire_key_kind kind)
{
    memset(d, 0, sizeof *d);
    d->kind = kind;
    if (kind == KEY_P256) {
        assert_int_equal(p256_generate(&d->k_u), E_OK);
    } else {
        assert_int_equal(secret_random(&d->shared, 64), E_OK);
    }
    memcpy(d->mac, "\x02\x01\x02\x03\x04\x05", 6);
    set16(&d->ltk.enc_up, 'a');
    set16(&d->ltk.mac_up, 'b');
    set16(&d->ltk.enc_down, 'c');
    set16(&d->ltk.mac_down, 'd');
    d->counter = 7;
    d->ahead_us = -123456789;
    memcpy(d->ack.bti_id, "0123456789abcdef", 16);
    d->ack.numbers = (struct enrol_texts){2, {"+12125550101", "+12125550102"}};
    d->ack.gates = (struct enrol_texts){1, {"127.0.0.1:5060"}};
    d->ack.servers = (struct enrol_texts){2, {"127.0.0.2:7611", "[::1]:7611"}};
    strcpy(d->domain, "headgate.test");
    strcpy(d->ps_name, "ps1.headgate.test");
    strcpy(d->root, "-----BEGIN CERTIFICATE-----");
    d->root_n = strlen(d->root);
}

static void same(const struct store_data *a, const struct store_data *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_memory_equal(a->k_u.pub, b->k_u.pub, sizeof a->k_u.pub);
    assert_memory_equal(a->k_u.d.b, b->k_u.d.b, 32);
    assert_memory_equal(a->shared.b, b->shared.b, 64);
    assert_memory_equal(a->mac, b->mac, 6);
    assert_true(secret_eq(&a->ltk.mac_down, &b->ltk.mac_down));
    assert_true(secret_eq(&a->ltk.enc_up, &b->ltk.enc_up));
    assert_int_equal(a->counter, b->counter);
    assert_true(a->ahead_us == b->ahead_us);
    assert_memory_equal(&a->ack, &b->ack, sizeof a->ack);
    assert_string_equal(a->domain, b->domain);
    assert_string_equal(a->ps_name, b->ps_name);
    assert_int_equal(a->root_n, b->root_n);
    assert_memory_equal(a->root, b->root, a->root_n);
}

static void round_trip(const char *pass, enum wire_key_kind kind)
{
    struct store *a = NULL, *b = NULL;
    struct stat st;
    assert_int_equal(store_new(t.store, pass, &a), E_OK);
    fill(&a->d, kind);
    assert_int_equal(store_save(a), E_OK);
    assert_int_equal(stat(t.store, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(store_new(t.store, pass, &b), E_OK);
    assert_int_equal(store_load(b), E_OK);
    same(&a->d, &b->d);
    store_free(a);
    store_free(b);
}

static void round_trips(void **state)
{
    (void)state;
    round_trip(NULL, KEY_P256);
    round_trip(NULL, KEY_SYMMETRIC);
    round_trip(t.pass, KEY_P256);
    round_trip(t.pass, KEY_SYMMETRIC);
}

static void nothing_readable_in_a_sealed_file(void **state)
{
    char b[KEYFILE_MAX];
    struct store *a = NULL;
    (void)state;
    assert_int_equal(store_new(t.store, t.pass, &a), E_OK);
    fill(&a->d, KEY_P256);
    assert_int_equal(store_save(a), E_OK);
    FILE *f = fopen(t.store, "r");
    size_t n = fread(b, 1, sizeof b, f);
    fclose(f);
    assert_true(n > 200);
    assert_null(memmem(b, n, "headgate.test", 13));
    assert_null(memmem(b, n, a->d.k_u.d.b, 32));
    store_free(a);
}

static void refusals(void **state)
{
    struct store *a = NULL, *b = NULL;
    char link[128];
    (void)state;
    assert_int_equal(store_new(t.store, t.pass, &a), E_OK);
    unlink(t.store);
    assert_int_equal(store_load(a), E_NOTFOUND);
    fill(&a->d, KEY_P256);
    assert_int_equal(store_save(a), E_OK);

    assert_int_equal(store_new(t.store, NULL, &b), E_OK);
    assert_int_equal(store_load(b), E_STATE); /* sealed, and no passphrase */
    store_free(b);
    assert_int_equal(store_new(t.store, t.other, &b), E_OK);
    assert_int_equal(store_load(b), E_AUTH);
    assert_int_equal(b->d.counter, 0); /* nothing was written */
    store_free(b);

    assert_int_equal(chmod(t.store, 0640), 0);
    assert_int_equal(store_load(a), E_DENIED);
    assert_int_equal(chmod(t.store, 0600), 0);
    snprintf(link, sizeof link, "%s/link", t.dir);
    assert_int_equal(symlink(t.store, link), 0);
    assert_int_equal(store_new(link, t.pass, &b), E_OK);
    assert_int_equal(store_load(b), E_DENIED);
    store_free(b);
    store_free(a);

    /* A plain store put in the place of a sealed one. */
    assert_int_equal(store_new(t.store, NULL, &a), E_OK);
    fill(&a->d, KEY_P256);
    assert_int_equal(store_save(a), E_OK);
    store_free(a);
    assert_int_equal(store_new(t.store, t.pass, &b), E_OK);
    assert_int_equal(store_load(b), E_AUTH);
    store_free(b);

    /* Passphrase files. */
    assert_int_equal(chmod(t.pass, 0644), 0);
    assert_int_equal(store_new(t.store, t.pass, &b), E_DENIED);
    write_text(t.pass, "\nx\n", 0600);
    assert_int_equal(store_new(t.store, t.pass, &b), E_RANGE);
    write_text(t.pass, "correct horse\n", 0600);
}

/* Another kind of file does not pass for a store, and a pending one is not an enrolled one. */
static void kinds_are_not_mixed(void **state)
{
    struct store *a = NULL;
    struct passphrase none = {.n = 0};
    uint8_t body[KEYFILE_BODY_MAX];
    size_t n = 0;
    (void)state;
    assert_int_equal(store_new(t.store, NULL, &a), E_OK);
    fill(&a->d, KEY_P256);
    assert_int_equal(store_save_pending(a), E_OK);
    char pending[128];
    snprintf(pending, sizeof pending, "%s.pending", t.store);
    assert_int_equal(keyfile_read(pending, KEYFILE_PENDING, &none, body, &n), E_OK);
    assert_int_equal(keyfile_read(pending, KEYFILE_STORE, &none, body, &n), E_PARSE);
    assert_int_equal(store_load_pending(a), E_OK);
    assert_int_equal(a->d.k_u.d.n, 32);
    store_forget_pending(a);
    assert_int_equal(store_load_pending(a), E_NOTFOUND);
    store_free(a);
}

static void every_octet_counts(struct passphrase *p)
{
    static uint8_t file[KEYFILE_MAX], body[KEYFILE_BODY_MAX];
    struct store_data *d = mem_zalloc(sizeof *d);
    size_t n = 0, m = 0, out = 0;
    fill(d, KEY_P256);
    d->root_n = 20; /* short: the sweep is long enough */
    assert_int_equal(store_encode(d, false, body, sizeof body, &n), E_OK);
    assert_int_equal(keyfile_seal(KEYFILE_STORE, p, view_from(body, n), file, &m), E_OK);
    assert_int_equal(keyfile_open(KEYFILE_STORE, p, view_from(file, m), body, &out), E_OK);
    assert_int_equal(out, n);
    for (size_t i = 0; i < m; i++) {
        if (p->n != 0 && i >= 10 && i < 26) {
            continue; /* the salt: each would cost a scrypt; one is tried below */
        }
        file[i] ^= 1;
        assert_int_not_equal(keyfile_open(KEYFILE_STORE, p, view_from(file, m), body, &out), E_OK);
        file[i] ^= 1;
    }
    for (size_t k = 0; k < m; k++) { /* truncated anywhere */
        assert_int_not_equal(keyfile_open(KEYFILE_STORE, p, view_from(file, k), body, &out), E_OK);
    }
    file[10] ^= 1;
    assert_int_not_equal(keyfile_open(KEYFILE_STORE, p, view_from(file, m), body, &out), E_OK);
    mem_free(d);
}

static void altered_files(void **state)
{
    struct passphrase p = {.n = 0};
    (void)state;
    every_octet_counts(&p);
    assert_int_equal(passphrase_load(t.pass, &p), E_OK);
    assert_int_equal(p.n, 13);
    every_octet_counts(&p);
    wipe(&p, sizeof p);
}

static void a_hostile_cost_is_refused(void **state)
{
    static uint8_t file[KEYFILE_MAX], body[KEYFILE_BODY_MAX];
    struct passphrase p = {.n = 0};
    size_t n = 0, out = 0;
    (void)state;
    assert_int_equal(passphrase_load(t.pass, &p), E_OK);
    assert_int_equal(keyfile_seal(KEYFILE_STORE, &p, VIEW("x"), file, &n), E_OK);
    for (unsigned cost = 18; cost < 256; cost++) {
        file[9] = (uint8_t)cost;
        assert_int_equal(keyfile_open(KEYFILE_STORE, &p, view_from(file, n), body, &out), E_PARSE);
    }
    wipe(&p, sizeof p);
}

/* A body that says nonsense under a good checksum: decoded or refused, never believed blindly. */
static void hostile_bodies(void **state)
{
    static uint8_t body[KEYFILE_BODY_MAX];
    struct store_data *d = mem_zalloc(sizeof *d), *out = mem_zalloc(sizeof *out);
    size_t n = 0, taken = 0;
    (void)state;
    fill(d, KEY_SYMMETRIC);
    assert_int_equal(store_encode(d, false, body, sizeof body, &n), E_OK);
    for (size_t i = 0; i < n; i++) {
        uint8_t was = body[i];
        for (unsigned b = 0; b < 8; b++) {
            body[i] = (uint8_t)(was ^ 1u << b);
            if (store_decode(view_from(body, n), false, out) == E_OK) {
                taken++;
                assert_true(out->ack.gates.n >= 1 && out->ack.gates.n <= 4);
                assert_true(out->ack.numbers.n <= 8 && out->ack.servers.n <= 4);
                assert_true(out->domain[0] != 0 && out->root_n > 0);
                assert_null(memchr(out->ack.gates.v[0], '\n', strlen(out->ack.gates.v[0])));
            }
        }
        body[i] = was;
    }
    assert_true(taken > 0); /* keys and texts are free to be anything */
    for (size_t k = 0; k < n; k++) {
        assert_int_not_equal(store_decode(view_from(body, k), false, out), E_OK);
    }
    body[n] = 0;
    assert_int_equal(store_decode(view_from(body, n + 1), false, out), E_PARSE);
    /* A private key of zero, or beyond the order of the group. */
    fill(d, KEY_P256);
    memset(d->k_u.d.b, 0, 32);
    assert_int_equal(store_encode(d, false, body, sizeof body, &n), E_OK);
    assert_int_equal(store_decode(view_from(body, n), false, out), E_PARSE);
    memset(d->k_u.d.b, 0xff, 32);
    assert_int_equal(store_encode(d, false, body, sizeof body, &n), E_OK);
    assert_int_equal(store_decode(view_from(body, n), false, out), E_PARSE);
    mem_free(d);
    mem_free(out);
}

static void counter_moves_before_it_is_told(void **state)
{
    struct store *a = NULL, *b = NULL;
    uint64_t x = 0;
    (void)state;
    unlink(t.store);
    assert_int_equal(store_new(t.store, NULL, &a), E_OK);
    assert_int_equal(store_next_counter(a, 0, 0, &x), E_NOTFOUND);
    fill(&a->d, KEY_P256);
    assert_int_equal(store_save(a), E_OK);
    assert_int_equal(store_next_counter(a, 0, 5, &x), E_OK);
    assert_int_equal(x, 8);
    /* Another process, which loaded before: it must not get 8 again. */
    assert_int_equal(store_new(t.store, NULL, &b), E_OK);
    assert_int_equal(store_load(b), E_OK);
    assert_int_equal(b->d.counter, 8);
    assert_int_equal(store_next_counter(a, 0, 5, &x), E_OK);
    assert_int_equal(x, 9);
    assert_int_equal(store_next_counter(b, 0, 5, &x), E_OK);
    assert_int_equal(x, 10);
    assert_int_equal(store_next_counter(b, 1000, 5, &x), E_OK);
    assert_int_equal(x, 1001);
    assert_true(b->d.ahead_us == 5);
    x = 0;
    assert_int_equal(store_next_counter(b, INT64_MAX, 5, &x), E_RANGE);
    assert_int_equal(x, 0);
    store_free(a);
    store_free(b);
}

static struct session *some_session(uint64_t expires_us)
{
    struct session_keys k;
    struct session *s = NULL;
    struct secret *keys[] = {&k.mac_up, &k.mac_down, &k.enc_up, &k.enc_down, &k.tls_psk, &k.digest};
    for (size_t i = 0; i < 6; i++) {
        keys[i]->n = 32;
        memset(keys[i]->b, 'a' + (int)i, 32);
    }
    assert_int_equal(session_new((const uint8_t *)"kidkidkidkidkid1", &k, &s), E_OK);
    s->expires_us = expires_us;
    s->gates = (struct enrol_texts){2, {"127.0.0.1:5060", "127.0.0.3:5060"}};
    return s;
}

static void slots_are_exclusive(void **state)
{
    struct store *a = NULL;
    struct slot slot[SLOTS + 1];
    struct session *s = NULL;
    (void)state;
    assert_int_equal(store_new(t.store, NULL, &a), E_OK);
    for (unsigned i = 0; i < SLOTS; i++) {
        assert_int_equal(slot_take(a, 1, 1, &slot[i], &s), E_OK);
        assert_int_equal(slot[i].n, i + 1);
        assert_null(s);
    }
    assert_int_equal(slot_take(a, 1, 1, &slot[SLOTS], &s), E_OK);
    assert_int_equal(slot[SLOTS].n, 0);
    slot_release(a, &slot[SLOTS], NULL);
    for (unsigned i = 0; i < SLOTS; i++) {
        slot_release(a, &slot[i], NULL);
    }
    store_free(a);
}

static void a_session_is_kept_once(void **state)
{
    struct store *a = NULL;
    struct slot one, two;
    struct session *s = some_session(1000000), *got = NULL, *none = NULL;
    (void)state;
    assert_int_equal(store_new(t.store, t.pass, &a), E_OK);
    assert_int_equal(slot_take(a, 1, 1, &one, &none), E_OK);
    assert_null(none);
    s->next_seq = 42;
    replay_mark(&s->seen, 99);
    slot_release(a, &one, s);
    assert_int_equal(slot_latest_expiry(a), 1000000);
    assert_int_equal(slot_take(a, 1, 1, &one, &got), E_OK);
    assert_int_equal(one.n, 1);
    assert_non_null(got);
    assert_memory_equal(got->kid, s->kid, 16);
    assert_int_equal(got->next_seq, 42);
    assert_int_equal(got->expires_us, 1000000);
    assert_string_equal(got->gates.v[1], "127.0.0.3:5060");
    assert_true(secret_eq(&got->keys.tls_psk, &s->keys.tls_psk));
    /* What was heard, or could have been on its way, is never taken again. */
    assert_int_not_equal(replay_check(&got->seen, 99), REPLAY_FRESH);
    assert_int_not_equal(replay_check(&got->seen, 50), REPLAY_FRESH);
    assert_int_equal(replay_check(&got->seen, 100), REPLAY_FRESH);
    /* While it is in use, and after a crash, nobody finds it. */
    assert_int_equal(slot_latest_expiry(a), 0);
    close(one.lock);
    assert_int_equal(slot_take(a, 1, 1, &two, &none), E_OK);
    assert_null(none);
    slot_release(a, &two, got);
    /* Too little left of it. */
    assert_int_equal(slot_take(a, 999999, 10, &two, &none), E_OK);
    assert_null(none);
    slot_release(a, &two, NULL);
    session_free(s);
    session_free(got);
    store_free(a);
}

static void altered_sessions(void **state)
{
    static uint8_t body[KEYFILE_BODY_MAX];
    struct session *s = some_session(77), *got = NULL;
    size_t n = 0;
    (void)state;
    assert_int_equal(session_encode(s, body, sizeof body, &n), E_OK);
    for (size_t k = 0; k < n; k++) {
        if (k == n - 17) {
            continue; /* exactly without the second gate it is whole */
        }
        assert_int_not_equal(session_decode(view_from(body, k), &got), E_OK);
    }
    assert_null(got);
    assert_int_equal(session_encode(s, body, n - 1, &n), E_RANGE);
    session_free(s);
}

/* RFC 7914 section 12, the vector with p = 1 and a real cost. */
static void scrypt_vector(void **state)
{
    uint8_t want[64];
    struct secret k = {.n = 0};
    (void)state;
    assert_int_equal(
        hex_get(VIEW("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
                     "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"),
                want, 64),
        E_OK);
    assert_int_equal(
        crypto_passphrase_key(VIEW("pleaseletmein"), VIEW("SodiumChloride"), 14, 64, &k), E_OK);
    assert_memory_equal(k.b, want, 64);
    assert_int_equal(crypto_passphrase_key(VIEW(""), VIEW("salt"), 14, 32, &k), E_RANGE);
    assert_int_equal(crypto_passphrase_key(VIEW("x"), VIEW("salt"), 9, 32, &k), E_RANGE);
    assert_int_equal(crypto_passphrase_key(VIEW("x"), VIEW("salt"), 21, 32, &k), E_RANGE);
    assert_int_equal(crypto_passphrase_key(VIEW("x"), VIEW("salt"), 14, 65, &k), E_RANGE);
}

/* One enrolment at a time, and the lock ends with its descriptor. */
static void locks(void **state)
{
    int one = -1, two = -1;
    (void)state;
    assert_int_equal(keyfile_lock(t.store, 5, false, &one), E_OK);
    assert_int_equal(keyfile_lock(t.store, 5, false, &two), E_EXISTS);
    assert_int_equal(keyfile_lock(t.store, 6, false, &two), E_OK);
    close(two);
    close(one);
    assert_int_equal(keyfile_lock(t.store, 5, false, &one), E_OK);
    close(one);
    assert_int_equal(keyfile_lock("/nowhere/s", 5, false, &one), E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(nothing_readable_in_a_sealed_file),
        cmocka_unit_test(refusals),
        cmocka_unit_test(kinds_are_not_mixed),
        cmocka_unit_test(altered_files),
        cmocka_unit_test(a_hostile_cost_is_refused),
        cmocka_unit_test(hostile_bodies),
        cmocka_unit_test(counter_moves_before_it_is_told),
        cmocka_unit_test(slots_are_exclusive),
        cmocka_unit_test(a_session_is_kept_once),
        cmocka_unit_test(altered_sessions),
        cmocka_unit_test(scrypt_vector),
        cmocka_unit_test(locks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
