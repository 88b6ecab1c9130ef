//! Rotation and attention over whole sequences, packed segments and a cache: tensors to launches.
use super::attention::{self, cached};
use super::backend::{alike, at, float, int, named, whole};
use super::{BLOCK, CudaBackend, CudaTensor, Device, DevicePast, must};
use crate::tensor::{AttentionShape, CachedShape, PackedShape, RopeTable};

impl<D: Device> CudaBackend<D> {
    pub(super) fn rotate(
        &self,
        x: &mut CudaTensor<D>,
        table: &RopeTable<CudaTensor<D>>,
        context_length: usize,
        head_dim: usize,
        inverse: bool,
    ) {
        let half = head_dim / 2;
        assert!(x.cols.is_multiple_of(head_dim) && table.cos.cols == half && table.sin.cols == half);
        assert!(table.cos.rows >= context_length && table.sin.rows >= context_length, "rope");
        x.touch();
        let heads = x.cols / head_dim;
        let items = x.rows * heads * if half.is_multiple_of(8) { half / 8 } else { half };
        let arguments = [
            at(x),
            at(&table.cos),
            at(&table.sin),
            int(x.rows),
            int(heads),
            int(head_dim),
            int(x.stride()),
            int(table.cos.stride()),
            int(context_length),
            float(if inverse { -1.0 } else { 1.0 }),
        ];
        self.launch("rope", &named("rope", x.element), [self.blocks_for(items), 1, 1], BLOCK, &arguments);
    }

    pub(super) fn attend(
        &self,
        shape: AttentionShape,
        out: &mut CudaTensor<D>,
        log_sum_exp: &mut CudaTensor<D>,
        q: &CudaTensor<D>,
        k: &CudaTensor<D>,
        v: &CudaTensor<D>,
    ) {
        out.touch();
        log_sum_exp.touch();
        let (out, log_sum_exp) = (whole(out), whole(log_sum_exp));
        let inputs = [q, k, v].map(whole);
        // SAFETY: live tensors, outputs borrowed mutably.
        must(unsafe { attention::forward(self.device(), shape, [&out, &log_sum_exp], inputs.each_ref()) });
    }

    pub(super) fn attend_packed(
        &self,
        shape: PackedShape,
        out: &mut CudaTensor<D>,
        q: &CudaTensor<D>,
        k: &CudaTensor<D>,
        v: &CudaTensor<D>,
    ) {
        out.touch();
        let spans = attention::packed_spans(shape, q.element);
        let (table, heads) = (self.table(&spans), [shape.num_heads, shape.num_kv_heads, shape.head_dim]);
        assert!(q.rows == shape.tokens(), "{} rows for {shape:?}", q.rows);
        let (out, inputs) = (whole(out), [q, k, v].map(whole));
        // SAFETY: live tensors, the output borrowed mutably; the spans name rows below the number asserted.
        must(unsafe {
            attention::of_spans(self.device(), heads, &out, inputs.each_ref(), &spans, table.address())
        });
    }

    pub(super) fn rotate_into_cache(
        &self,
        past: &DevicePast<D>,
        table: &RopeTable<CudaTensor<D>>,
        head_dim: usize,
        q: &mut CudaTensor<D>,
        [k, v]: [&CudaTensor<D>; 2],
        [keys, values]: [&mut CudaTensor<D>; 2],
    ) {
        let (half, rows, end) = (head_dim / 2, q.rows, past.tokens + q.rows);
        alike(k, v);
        alike(keys, values);
        assert!((k.rows, k.element) == (rows, q.element), "{} keys for {rows} queries", k.rows);
        assert!(
            (keys.cols, keys.element) == (k.cols, k.element) && end <= keys.rows,
            "{end} of {}",
            keys.rows
        );
        assert!(head_dim.is_multiple_of(2) && [q, k].iter().all(|x| x.cols.is_multiple_of(head_dim)));
        for angles in [&table.cos, &table.sin] {
            assert!(angles.cols == half && end <= angles.rows, "{end} positions of {}", angles.rows);
        }
        for written in [&mut *q, &mut *keys, &mut *values] {
            written.touch();
        }
        let (heads, kv_heads) = (q.cols / head_dim, k.cols / head_dim);
        let items = rows * (heads + 2 * kv_heads) * if half.is_multiple_of(8) { half / 8 } else { half };
        let arguments = [
            at(q),
            at(k),
            at(v),
            at(keys),
            at(values),
            at(&table.cos),
            at(&table.sin),
            past.argument(),
            int(rows),
            int(heads),
            int(kv_heads),
            int(head_dim),
            int(q.stride()),
            int(k.stride()),
            int(table.cos.stride()),
        ];
        let kernel = named("extend_cache", q.element);
        self.launch("rope", &kernel, [self.blocks_for(items), 1, 1], BLOCK, &arguments);
    }

    pub(super) fn attend_cached(
        &self,
        shape: CachedShape,
        past: &DevicePast<D>,
        out: &mut CudaTensor<D>,
        q: &CudaTensor<D>,
        keys: &CudaTensor<D>,
        values: &CudaTensor<D>,
    ) {
        let CachedShape { queries, num_heads, num_kv_heads, head_dim } = shape;
        let seen = past.tokens + queries;
        assert!(q.rows == queries && keys.rows >= seen, "{} keys of {seen} for {shape:?}", keys.rows);
        out.touch();
        let (out, inputs) = (whole(out), [q, keys, values].map(whole));
        let (device, inputs) = (self.device(), inputs.each_ref());
        if cached::are_few(queries) {
            let scratch = self.buffer(cached::scratch_bytes(shape, past.tokens));
            let addresses = [past.on_device.address(), scratch.address()];
            // SAFETY: live tensors, the output borrowed mutably; the number on the device is `past.tokens`, and the
            // scratch memory has the size asked for.
            must(unsafe { cached::few(device, shape, past.tokens, addresses, &out, inputs) });
        } else {
            let spans = cached::spans(shape, past.tokens, q.element);
            let (table, heads) = (self.table(&spans), [num_heads, num_kv_heads, head_dim]);
            // SAFETY: live tensors, the output borrowed mutably; the spans name queries and keys below those asserted.
            must(unsafe { attention::of_spans(device, heads, &out, inputs, &spans, table.address()) });
        }
    }
}
