/* Key material: bounds, constant-time comparison's answers, wiping, and which files are believed.
 */
#include <fcntl.h>
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

#include "base/secret.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/secretXXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(dir);
}

static const char *at(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void values(void **state)
{
    (void)state;
    uint8_t octets[SECRET_MAX + 1];
    struct secret a, b = {0};
    memset(&a, 0xee, sizeof a);
    memset(octets, 7, sizeof octets);
    assert_int_equal(secret_set(&a, octets, 3), E_OK);
    assert_int_equal(a.n, 3);
    assert_true(a.b[2] == 7 && a.b[3] == 0 && a.b[SECRET_MAX - 1] == 0);
    assert_int_equal(secret_set(&a, octets, SECRET_MAX + 1), E_RANGE);
    assert_int_equal(a.n, 3);
    assert_int_equal(secret_set(&b, octets, 3), E_OK);
    assert_true(secret_eq(&a, &b));
    b.b[2] ^= 1;
    assert_false(secret_eq(&a, &b));
    assert_int_equal(secret_set(&b, octets, 4), E_OK);
    assert_false(secret_eq(&a, &b));
    secret_wipe(&a);
    secret_wipe(&a);
    secret_wipe(&b);
    assert_false(secret_eq(&a, &b)); /* no key equals no key */
    assert_int_equal(secret_set(&a, NULL, 0), E_OK);
    assert_int_equal(a.n, 0);
    for (size_t i = 0; i < sizeof a; i++) {
        assert_int_equal(((const uint8_t *)&a)[i], 0);
    }
    for (uint8_t i = 0; i < SECRET_MAX; i++) {
        octets[i] = i;
    }
    assert_int_equal(secret_set(&a, octets, SECRET_MAX), E_OK);
    assert_int_equal(secret_set(&a, a.b + 32, 16), E_OK); /* a part of itself */
    assert_memory_equal(a.b, octets + 32, 16);
    assert_int_equal(a.b[16], 0);
}

static void random_ones(void **state)
{
    (void)state;
    struct secret a = {0}, b = {0};
    memset(a.b, 0xee, sizeof a.b);
    assert_int_equal(secret_random(&a, 32), E_OK);
    assert_int_equal(secret_random(&b, 32), E_OK);
    assert_int_equal(a.n, 32);
    assert_false(secret_eq(&a, &b));
    assert_int_equal(a.b[32], 0); /* nothing of an older, longer key stays */
    assert_int_equal(secret_random(&a, SECRET_MAX + 1), E_RANGE);
    assert_int_equal(a.n, 32);
}

static void long_lived_memory(void **state)
{
    (void)state;
    for (size_t n = 1; n < 20000; n += 4095) {
        uint8_t *p = secret_alloc(n);
        assert_non_null(p);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(p[i], 0);
        }
        memset(p, 1, n);
        secret_release(p, n);
    }
    secret_release(NULL, 10);
    assert_true(bytes_eq("abc", "abc", 3) && !bytes_eq("abc", "abd", 3) && bytes_eq("a", "b", 0));
}

static void put(const char *name, const char *text, size_t n, mode_t mode)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void modes_of_files(void **state)
{
    (void)state;
    for (mode_t m = 0; m <= 0777; m++) {
        char dst[8];
        size_t n = 99;
        put("key", "12345678", 8, m | 0400); /* readable for us, whoever we are */
        bool closed = (m & 077) == 0;
        assert_int_equal(secret_file_read(at("key"), false, dst, sizeof dst, &n),
                         closed ? E_OK : E_DENIED);
        assert_int_equal(n, closed ? 8 : 99);
        assert_int_equal(secret_file_read(at("key"), true, dst, sizeof dst, &n), E_OK);
        assert_memory_equal(dst, "12345678", 8);
        assert_int_equal(unlink(at("key")), 0);
    }
}

static void what_is_no_key_file(void **state)
{
    (void)state;
    char dst[8], target[128];
    size_t n = 99;
    put("key", "12345678", 8, 0600);
    strcpy(target, at("key"));
    assert_int_equal(secret_file_read(target, false, dst, 7, &n), E_RANGE);
    assert_int_equal(secret_file_read(at("none"), false, dst, 8, &n), E_NOTFOUND);
    assert_int_equal(symlink(target, at("link")), 0);
    assert_int_equal(secret_file_read(at("link"), true, dst, 8, &n), E_DENIED);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_int_equal(secret_file_read(at("fifo"), true, dst, 8, &n), E_DENIED); /* and no waiting */
    assert_int_equal(mkdir(at("folder"), 0700), 0);
    assert_int_equal(secret_file_read(at("folder"), true, dst, 8, &n), E_DENIED);
    assert_int_equal(secret_file_read("/dev/zero", true, dst, 8, &n), E_DENIED);
    /* stat() says 0 for it, and it has more */
    assert_int_equal(secret_file_read("/proc/self/status", true, dst, 8, &n), E_RANGE);
    assert_int_equal(n, 99);
    put("key", "", 0, 0600);
    assert_int_equal(secret_file_read(target, false, dst, 0, &n), E_OK);
    assert_int_equal(n, 0);
    assert_int_equal(rmdir(at("folder")) + unlink(at("fifo")) + unlink(at("link")), 0);
    assert_int_equal(unlink(target), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(random_ones),
        cmocka_unit_test(long_lived_memory),
        cmocka_unit_test(modes_of_files),
        cmocka_unit_test(what_is_no_key_file),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
