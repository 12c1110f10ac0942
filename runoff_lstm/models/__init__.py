"""Networks: plain numbers in, torch modules out.

In: an `Architecture` and the number of inputs. Out: a module that turns a batch's forcing into discharge (batch, target, lead):
recurrent layers (`stack`, `ealstm`) with any dropout (`dropout`, `masked_loop`), a head (`heads`), or one of three ways to
forecast (`forecasts`). `cells` has the equations that the layers are tested against.

May import of inputs only `features`, the form of observed discharge as an input; never a Dataset, a scaler or a recipe, so that
each network can be read, tested and replaced by itself.
"""
