#include "unit.h"

#include "wire/bind.h"
#include "wire/control.h"

/* A server may ask for patience, not for silence without end. */
static void patience_has_a_bound(void **state)
{
	static const struct {
		uint32_t asked, heard;
	} rows[] = {
		{ 0, 0 },
		{ 1000, 1000 },
		{ CONTROL_MS_MAX, CONTROL_MS_MAX },
		{ CONTROL_MS_MAX + 1, CONTROL_MS_MAX },
		{ UINT32_MAX, CONTROL_MS_MAX },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bind_err in = { 1, CODE_PORT_TAKEN, rows[i].asked, span_of("taken") }, out;
		uint8_t frame[FRAME_HEAD + FRAME_CONTROL_MAX];
		size_t len = bind_err_encode(&in, frame, sizeof frame);

		assert_true(len > FRAME_HEAD);
		assert_int_equal(bind_err_decode(frame + FRAME_HEAD, len - FRAME_HEAD, &out), CODE_OK);
		assert_int_equal(out.retry_ms, rows[i].heard);
		assert_int_equal(out.code, CODE_PORT_TAKEN);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(patience_has_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
