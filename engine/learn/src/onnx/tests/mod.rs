//! Tests of ONNX files, by what they are about. The real runtime is asked end to end; these need none.

mod bad;
mod exporting;
