#include "mux/binding.h"

#include "mux/output.h"

void binding_ask(struct session *s, const struct bind_request *request)
{
	uint8_t *out = output_reserve(s);

	if (out)
		output_commit(s, bind_request_encode(request, out, OUTPUT_FRAME_MAX));
}

void binding_end(struct session *s, uint32_t bind_id)
{
	uint8_t *out = output_reserve(s);

	if (out)
		output_commit(s, bind_unbind_encode(bind_id, out, OUTPUT_FRAME_MAX));
}

void binding_grant(struct session *s, const struct bind_ok *ok)
{
	uint8_t *out = output_reserve(s);

	if (!out)
		return;
	output_commit_reply(s, bind_ok_encode(ok, out, OUTPUT_FRAME_MAX));
	if (s->state == SESSION_BIND)
		s->state = SESSION_OPEN;
}

void binding_refuse(struct session *s, const struct bind_err *err)
{
	uint8_t *out = output_reserve(s);

	if (out)
		output_commit_reply(s, bind_err_encode(err, out, OUTPUT_FRAME_MAX));
}

enum code binding_on_bind(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct bind_request request;
	enum code code = bind_request_decode(payload, f->len, &request);

	if (code)
		return code;
	if (s->state == SESSION_DRAIN) {
		struct bind_err err = { request.id, CODE_SHUTTING_DOWN, 0, { 0 } };

		binding_refuse(s, &err);
		return CODE_OK;
	}
	s->ops->on_bind(s->owner, &request);
	return CODE_OK;
}

enum code binding_on_unbind(struct session *s, const struct frame *f, const uint8_t *payload)
{
	uint32_t id;
	enum code code = bind_unbind_decode(payload, f->len, &id);

	if (!code)
		s->ops->on_unbind(s->owner, id);
	return code;
}

enum code binding_on_ok(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct bind_ok ok;
	enum code code = bind_ok_decode(payload, f->len, &ok);

	if (code)
		return code;
	if (s->state == SESSION_BIND)
		s->state = SESSION_OPEN;
	s->ops->on_bind_ok(s->owner, &ok);
	return CODE_OK;
}

enum code binding_on_err(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct bind_err err;
	enum code code = bind_err_decode(payload, f->len, &err);

	if (!code)
		s->ops->on_bind_err(s->owner, &err);
	return code;
}
