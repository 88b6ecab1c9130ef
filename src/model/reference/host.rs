//! Between host matrices and dfdx tensors.
use dfdx::prelude::{Cpu, Device, Tensor, TensorFrom};

use super::ReferenceScalar;
use crate::tensor::cpu::Matrix;

/// A matrix whose dims are known at run time.
pub(super) type Tensor2<T, Tape = dfdx::prelude::NoneTape> = Tensor<(usize, usize), T, Cpu, Tape>;

pub(super) fn upload<T: ReferenceScalar>(device: &Cpu, matrix: &Matrix<T>) -> Tensor2<T>
where
    Cpu: Device<T>,
{
    device.tensor((matrix.data.clone(), (matrix.rows, matrix.cols)))
}

pub(super) fn download<T: ReferenceScalar>(tensor: Tensor2<T>) -> Matrix<T>
where
    Cpu: Device<T>,
{
    let (rows, cols) = *dfdx::prelude::HasShape::shape(&tensor);
    Matrix { rows, cols, data: tensor.as_vec() }
}
