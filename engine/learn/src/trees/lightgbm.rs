//! A thin, safe cover over the few LightGBM calls that training needs.
//!
//! `lightgbm3`'s own cover trains all rounds in one call without a way to stop, and makes its tables without
//! parameters, so that LightGBM prints to standard output, which in a worker is a protocol. Hence the bindings below it.
//!
//! Everything that LightGBM keeps per thread (log level, callback, last error) is set up and read on the thread that
//! calls, so a [`Booster`] is made, grown and dropped on one thread: neither type is `Send`.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    marker::PhantomData,
    ptr,
};

use lightgbm3_sys as sys;

use crate::{error::LearnError, samples::Samples};

const FLOAT32: c_int = sys::C_API_DTYPE_FLOAT32 as c_int;

/// A table in LightGBM's own bins.
pub(super) struct Table {
    handle: sys::DatasetHandle,
    n_rows: c_int,
}

impl Table {
    /// Bins rows. A validation table takes the bins of the training table, its `reference`.
    pub(super) fn new(
        rows: &Samples,
        labels: &[f32],
        params: &str,
        reference: Option<&Table>,
    ) -> Result<Self, LearnError> {
        let too_large = || LearnError::TooLarge {
            what: "the table".to_owned(),
            message: format!("{} rows by {} columns do not fit 31 bits", rows.n_rows, rows.n_features),
        };
        let n_rows = c_int::try_from(rows.n_rows).map_err(|_| too_large())?;
        let n_features = c_int::try_from(rows.n_features).map_err(|_| too_large())?;
        if rows.features.len() != rows.n_rows * rows.n_features
            || labels.len() != rows.n_rows
            || rows.features.is_empty()
        {
            return Err(LearnError::Internal("rows, features and labels do not fit together".to_owned()));
        }
        let params = c_string(params)?;
        let mut handle = ptr::null_mut();
        let reference = reference.map_or(ptr::null_mut(), |table| table.handle);
        // SAFETY: the callback is a function without state that lives as long as the program.
        call(unsafe { sys::LGBM_RegisterLogCallback(Some(swallow)) })?;
        // SAFETY: `features` holds n_rows * n_features values of the announced type (checked above), `params` ends in
        // zero, `reference` is null or a live table, `handle` outlives the call. LightGBM copies what it needs.
        call(unsafe {
            let data = rows.features.as_ptr().cast::<c_void>();
            sys::LGBM_DatasetCreateFromMat(
                data,
                FLOAT32,
                n_rows,
                n_features,
                1,
                params.as_ptr(),
                reference,
                &mut handle,
            )
        })?;
        let table = Self { handle, n_rows };
        // SAFETY: `labels` holds n_rows values of the announced type (checked above); LightGBM copies them.
        call(unsafe {
            let data = labels.as_ptr().cast::<c_void>();
            sys::LGBM_DatasetSetField(table.handle, c"label".as_ptr(), data, table.n_rows, FLOAT32)
        })?;
        Ok(table)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: made by LGBM_DatasetCreateFromMat, freed once; boosters that point to it borrow it, so they are gone.
        let _ = unsafe { sys::LGBM_DatasetFree(self.handle) };
    }
}

/// Trees in growth over tables that outlive it.
pub(super) struct Booster<'tables> {
    handle: sys::BoosterHandle,
    n_metrics: usize,
    tables: PhantomData<&'tables Table>,
}

impl<'tables> Booster<'tables> {
    pub(super) fn new(train: &'tables Table, valid: Option<&'tables Table>, params: &str) -> Result<Self, LearnError> {
        let params = c_string(params)?;
        let mut handle = ptr::null_mut();
        // SAFETY: the table is live and outlives the booster by its lifetime; `params` ends in zero.
        call(unsafe { sys::LGBM_BoosterCreate(train.handle, params.as_ptr(), &mut handle) })?;
        let mut booster = Self { handle, n_metrics: 0, tables: PhantomData };
        if let Some(valid) = valid {
            // SAFETY: both handles are live; the table outlives the booster by its lifetime.
            call(unsafe { sys::LGBM_BoosterAddValidData(booster.handle, valid.handle) })?;
        }
        let mut n_metrics: c_int = 0;
        // SAFETY: the handle is live, the result outlives the call.
        call(unsafe { sys::LGBM_BoosterGetEvalCounts(booster.handle, &mut n_metrics) })?;
        booster.n_metrics = usize::try_from(n_metrics).unwrap_or(0);
        Ok(booster)
    }

    /// Grows one round. `false` means that nothing could be split any more and no round was added.
    pub(super) fn grow(&mut self) -> Result<bool, LearnError> {
        let mut finished: c_int = 0;
        // SAFETY: the handle is live, the result outlives the call.
        call(unsafe { sys::LGBM_BoosterUpdateOneIter(self.handle, &mut finished) })?;
        Ok(finished == 0)
    }

    /// The metrics in the order of the parameter `metric`, on training rows (0) or validation rows (1).
    pub(super) fn metrics(&self, table: c_int) -> Result<Vec<f64>, LearnError> {
        let mut values = vec![0.0; self.n_metrics];
        let mut written: c_int = 0;
        // SAFETY: LightGBM writes as many values as LGBM_BoosterGetEvalCounts announced, which is the buffer's length.
        call(unsafe { sys::LGBM_BoosterGetEval(self.handle, table, &mut written, values.as_mut_ptr()) })?;
        values.truncate(usize::try_from(written).unwrap_or(0));
        Ok(values)
    }

    /// The model text of the first `n_rounds` rounds.
    pub(super) fn text(&self, n_rounds: u32) -> Result<String, LearnError> {
        let n_rounds = c_int::try_from(n_rounds).unwrap_or(c_int::MAX);
        let mut buffer: Vec<u8> = Vec::new();
        // The first call tells the length, the second fills it; both include the closing zero.
        for _ in 0..2 {
            let mut length = 0_i64;
            let capacity = i64::try_from(buffer.len()).unwrap_or(i64::MAX);
            let out = if buffer.is_empty() { ptr::null_mut() } else { buffer.as_mut_ptr().cast::<c_char>() };
            // SAFETY: LightGBM writes only if `capacity`, the buffer's length, is enough.
            call(unsafe {
                sys::LGBM_BoosterSaveModelToString(self.handle, 0, n_rounds, 0, capacity, &mut length, out)
            })?;
            buffer.resize(usize::try_from(length).unwrap_or(0), 0);
        }
        let text = CStr::from_bytes_until_nul(&buffer).map_err(|err| internal(&err.to_string()))?;
        Ok(text.to_str().map_err(|err| internal(&err.to_string()))?.to_owned())
    }

    /// LightGBM's own predictions before the link, `[n_rows, n_outputs]`, with the first `n_rounds` rounds.
    pub(super) fn sums(
        &self,
        rows: &Samples,
        n_outputs: usize,
        n_rounds: u32,
        n_threads: u32,
    ) -> Result<Vec<f64>, LearnError> {
        let fit = |n: usize| c_int::try_from(n).map_err(|_| internal("too many rows or columns at once"));
        let (n_rows, n_features) = (fit(rows.n_rows)?, fit(rows.n_features)?);
        if rows.features.len() != rows.n_rows * rows.n_features {
            return Err(internal("rows and features do not fit together"));
        }
        let params = c_string(&format!("verbosity=-1 num_threads={n_threads}"))?;
        let mut sums = vec![0.0; rows.n_rows * n_outputs];
        let mut written = 0_i64;
        // SAFETY: the input holds n_rows * n_features values of the announced type (checked above); raw scores are
        // n_outputs values for each row, which is the buffer's length.
        call(unsafe {
            sys::LGBM_BoosterPredictForMat(
                self.handle,
                rows.features.as_ptr().cast::<c_void>(),
                FLOAT32,
                n_rows,
                n_features,
                1,
                sys::C_API_PREDICT_RAW_SCORE as c_int,
                0,
                c_int::try_from(n_rounds).unwrap_or(c_int::MAX),
                params.as_ptr(),
                &mut written,
                sums.as_mut_ptr(),
            )
        })?;
        if usize::try_from(written) == Ok(sums.len()) {
            Ok(sums)
        } else {
            Err(internal("another number of predictions than rows"))
        }
    }
}

impl Drop for Booster<'_> {
    fn drop(&mut self) {
        // SAFETY: made by LGBM_BoosterCreate, freed once.
        let _ = unsafe { sys::LGBM_BoosterFree(self.handle) };
    }
}

/// Takes LightGBM's log lines, so that they do not reach standard output.
extern "C" fn swallow(_line: *const c_char) {}

fn c_string(text: &str) -> Result<CString, LearnError> {
    CString::new(text).map_err(|err| internal(&err.to_string()))
}

/// Turns a call's status into an error with LightGBM's own words. LightGBM catches its C++ exceptions at this border.
fn call(status: c_int) -> Result<(), LearnError> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: LightGBM keeps the last error of each thread in a buffer that always ends in zero.
    let message = unsafe { CStr::from_ptr(sys::LGBM_GetLastError()) };
    Err(internal(&message.to_string_lossy()))
}

fn internal(message: &str) -> LearnError {
    LearnError::Internal(format!("LightGBM: {message}"))
}
