/* Work orders: 12 digits, a digest that the provisioning server can compute again, keys that cannot
 * be used. */
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

#include "admin_api/work_order.h"
#include "base/secret.h"

static char path[] = "/tmp/headgate-work-order.XXXXXX";

static void write_key(const char *octets, size_t n, mode_t mode)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(fwrite(octets, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void made(void **state)
{
    (void)state;
    static const char octets[] = "0123456789abcdef0123456789abcdef";
    struct work_order w, other;
    struct secret key;
    uint8_t digest[SHA256_BYTES];

    write_key(octets, 32, 0600);
    assert_int_equal(work_order_make(path, &w), E_OK);
    assert_int_equal(strspn(w.digits, "0123456789"), WORK_ORDER_DIGITS);
    assert_int_equal(w.digits[WORK_ORDER_DIGITS], 0);
    assert_string_equal(work_order_hint(&w), w.digits + 10);
    assert_int_equal(secret_set(&key, octets, 32), E_OK);
    assert_int_equal(hmac_sha256(&key, view_of(w.digits), digest), E_OK);
    assert_memory_equal(w.digest, digest, sizeof digest);
    assert_int_equal(work_order_make(path, &other), E_OK);
    assert_string_not_equal(w.digits, other.digits);
}

static void refused(void **state)
{
    (void)state;
    struct work_order w = {.digits = "untouched"};

    write_key("short", 5, 0600);
    assert_int_equal(work_order_make(path, &w), E_RANGE);
    write_key("0123456789abcdef0123456789abcdef!", 33, 0600);
    assert_int_equal(work_order_make(path, &w), E_RANGE);
    write_key("0123456789abcdef0123456789abcdef", 32, 0644);
    assert_int_equal(work_order_make(path, &w), E_DENIED);
    assert_int_equal(work_order_make("/nonexistent/key", &w), E_NOTFOUND);
    assert_string_equal(w.digits, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
