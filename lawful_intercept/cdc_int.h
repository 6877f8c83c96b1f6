/* lawful_intercept/cdc_int.h - the tables that writer and reader of call-data messages go by. */
#ifndef LAWFUL_INTERCEPT_CDC_INT_H
#define LAWFUL_INTERCEPT_CDC_INT_H

#include "lawful_intercept/cdc.h"

enum cdc_type {
    CDC_T_VISIBLE,  /* VisibleString: struct view */
    CDC_T_UTF8,     /* UTF8String: struct view */
    CDC_T_NULL,     /* always there; no place in the struct */
    CDC_T_ENUM,     /* uint32_t; 0: absent */
    CDC_T_INTEGER,  /* uint32_t; 0: absent */
    CDC_T_TIME,     /* GeneralizedTime: uint64_t, microseconds */
    CDC_T_SEQUENCE, /* of, at offset */
    CDC_T_WRAPPED,  /* EXPLICIT CHOICE: of, of which one is there */
    CDC_T_LIST /* SEQUENCE OF universal SEQUENCE: count at offset, elements at offset + first */
};

struct cdc_field {
    const char *name;
    uint8_t tag;
    uint8_t type;
    bool must;
    uint8_t since; /* version; 0: all */
    uint8_t group; /* of those of one group exactly one must be there; 0: none */
    uint16_t offset;
    uint16_t min, max; /* octets of a text (max 0: CDC_SDP_MAX), values of a number */
    const struct cdc_shape *of;
    uint16_t first, stride, most; /* CDC_T_LIST */
};

struct cdc_shape {
    const struct cdc_field *field;
    uint8_t n;
    bool at_least_one; /* of its fields */
};

struct cdc_message_shape {
    const char *name;
    uint8_t since;
    struct cdc_shape shape;
};

const struct cdc_message_shape *cdc_shape_of(unsigned kind); /* NULL */

/* A class of octets, by which a tag is written: context-specific. */
enum {
    CDC_CONTEXT = 0x80,
    CDC_CONSTRUCTED = 0x20,
    CDC_UNIVERSAL_SEQUENCE = 0x30,
    CDC_DEPTH_MAX = 8
};

#endif
